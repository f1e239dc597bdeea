"""The Avalara connector: tax codes and amounts are checked before anything is posted. Nothing is kept there, nothing is committed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from controlplane.connectors.builtin.avalara import codes, estimates, questions
from controlplane.connectors.builtin.avalara.api import Api, exact
from controlplane.connectors.contract import (
    Connector,
    Context,
    Manifest,
    Setting,
    UnmappedError,
    Write,
    WriteSpec,
)
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.settings import GONE, HERE, IDLE
from controlplane.errors import RejectedError, UnavailableError
from rules.outcomes import Guarantee, Outcome, Result
from rules.tax import Fault, Finding, TaxDocument, compare

STANDS = {True: HERE, False: IDLE, None: None}


class AvalaraConnector(Connector):
    """A company's account at AvaTax. Options: company_code, tax_codes (ours, mapped to Avalara's), customer_code."""

    manifest: ClassVar[Manifest] = Manifest(
        name="avalara",
        title="Avalara AvaTax",
        writes=(
            WriteSpec(
                "tax_check", ("tax.asked",), Guarantee.KEYED, how="an estimate, which AvaTax computes and does not keep"
            ),
        ),
        secrets=("account_id", "license_key"),
        options=("company_code", "tax_codes", "customer_code"),
        verified_against="Avalara's OpenAPI description (v2), a simulator",
        kind="tax",
        auth="account id and licence key (HTTP Basic)",
        limits="not published; lists of 1,000",
        gaps=(
            "recording, committing and voiding of transactions",
            "custom tax codes are looked for in all companies of the account",
        ),
        option_schemas={
            "company_code": {"type": "string", "maxLength": 50},
            "customer_code": {"type": "string", "maxLength": 50},
            "tax_codes": {"type": "array", "items": {"type": "string"}},
        },
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._api = Api(context)
        self._company = str(context.options.get("company_code", "DEFAULT"))
        self._customer = str(context.options.get("customer_code", "TRUEUP"))

    def close(self) -> None:
        """Close the connections."""
        self._api.http.close()

    def ping(self) -> None:
        """Ask who we are: AvaTax answers a ping with 200 to strangers too."""
        told = exact(self._api.ask("GET", "/api/v2/utilities/ping"))
        if told.get("authenticated") is not True:
            self.context.refused()
            raise UnavailableError(f"{self.context.system} does not know us; check the secrets of the System policy")

    def settings(self) -> list[Setting]:
        """Read whether each tax code of the options is known and in use."""
        ours = [str(name) for name in self.context.options.get("tax_codes", ())]
        mapped, unmapped = self._mapped(ours)
        known = codes.standing(self._api, mapped.values()) if mapped else {}
        return [self._setting(name, mapped, unmapped, known) for name in ours]

    # --- asked before something is posted ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Ask for the tax of a document: DELIVERED where AvaTax agrees, REJECTED with what it says where it does not.

        UNAVAILABLE, THROTTLED and UNKNOWN mean that nothing is known of the document.
        """
        self.manifest.write_spec(request.entity)
        asked = questions.read(request.payload)
        found = self.validate(questions.document(asked), tolerance=asked.tolerance, owed=True)
        if found:
            told = "; ".join(finding.detail for finding in found)
            raise RejectedError(f"AvaTax does not agree with {asked.posting_key}: {told}")
        return Outcome(Result.DELIVERED, f"AvaTax agrees with {asked.tax} {asked.currency} of tax")

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Answer that there is nothing: what was asked is kept nowhere, and may be asked again."""
        self.manifest.write_spec(request.entity)
        return Outcome(Result.ABSENT, "AvaTax keeps no estimate; it is asked again")

    def validate(self, document: TaxDocument, *, tolerance: Decimal | None = None, owed: bool = False) -> list[Finding]:
        """Return where AvaTax disagrees with a document that is about to be posted; empty: it agrees within the tolerance, or to the cent.

        Codes are looked up first: where one is wrong, amounts are not computed, for AvaTax would compute them under another code.
        Changes nothing there. Raises UnmappedError for a code without translation, BadInputError for a document that is not exact,
        ConnectorError when it cannot be told: then nothing is known of the document, and it is not to be taken for right.
        """
        estimates.check(document)
        mapped = {line.tax_code: self.context.codes.theirs("tax_code", line.tax_code) for line in document.lines}
        known = codes.standing(self._api, mapped.values())
        wrong = [finding for line in document.lines if (finding := _code(line.number, mapped[line.tax_code], known))]
        if wrong:
            return wrong
        told = estimates.compute(self._api, document, mapped, self._company, self._customer, owed=owed)
        return compare(document, mapped, told, tolerance)

    def _mapped(self, ours: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        mapped, unmapped = {}, {}
        for name in ours:
            try:
                mapped[name] = self.context.codes.theirs("tax_code", name)
            except UnmappedError as error:
                unmapped[name] = str(error)
        return mapped, unmapped

    def _setting(
        self, name: str, mapped: Mapping[str, str], unmapped: Mapping[str, str], known: Mapping[str, bool | None]
    ) -> Setting:
        title = f"tax code {name}"
        if name in unmapped:
            return Setting(title, HERE, None, "map the tax code", note=unmapped[name], option="tax_codes")
        code = mapped[name]
        actual = STANDS[known[code.upper()]] if code.upper() in known else GONE
        remedy = (
            f"choose a code that is in use for {name} in the tax_code Mapping of {self.context.system} (it is {code})"
        )
        note = "" if actual else "AvaTax does not say whether it is in use"
        return Setting(title, HERE, actual, remedy, note=note, option="tax_codes")


def _code(line: str, code: str, known: Mapping[str, bool | None]) -> Finding | None:
    if code.upper() not in known:
        return Finding(
            Fault.UNKNOWN_CODE, line, f"line {line}: AvaTax knows no tax code {code}; correct the Mapping, or the line"
        )
    active = known[code.upper()]
    if active is None:
        return Finding(
            Fault.UNTOLD_CODE, line, f"line {line}: AvaTax does not say whether the tax code {code} is in use"
        )
    if not active:
        return Finding(
            Fault.INACTIVE_CODE, line, f"line {line}: the tax code {code} is not in use any more; choose another"
        )
    return None
