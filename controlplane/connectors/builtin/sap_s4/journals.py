"""Journal entries by SOAP. SAP takes a message on and posts it later: its answer says "queued", the ledger says "posted".

What fails in the queue SAP tells its own monitor only (application interface framework); here it stays absent, and as somebody may start it
again there, absence proves nothing (`WriteSpec.settles`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from controlplane.connectors import odata
from controlplane.connectors.builtin.sap_s4.api import Api, mark
from controlplane.connectors.contract import Write
from controlplane.connectors.http import Answer, with_evidence
from controlplane.connectors.jobs import Progress, awaited
from controlplane.connectors.markup import markup
from controlplane.connectors.outcomes import AWAITED
from controlplane.errors import BadInputError, ConnectorError, RejectedError, UnknownOutcomeError, UnreadableError
from rules.outcomes import Outcome, Result

PATH = "/sap/bc/srt/scs_ext/sap/journalentrybulkcreationreques"
LATE = 600.0
"""Seconds after which what is not in the ledger has failed in the queue, or never came there."""
LONGEST = 15.0
"""Seconds that posting is waited for at most."""
FAULT = 500
OURS = ("client", "sender")
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SFIN = "http://sap.com/xi/SAPSCORE/SFIN"


class Journals:
    """Journal entries of one company code."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def post(self, request: Write) -> Outcome:
        """Queue an entry, unless it is posted; wait a little for it to be."""
        content = self._envelope(request)
        if held := self._held(request):
            return held
        answer = self._sent(content)
        context = self._api.context
        longest = min(LONGEST, context.timeout)
        try:
            native = awaited(self._look_for(request), request.business_ref, context.clock, writes=True, longest=longest)
        except ConnectorError as error:  # SAP has the message, whatever became of the looking
            evidence = {**answer.evidence, AWAITED: "SAP queued the journal entry, and has yet to post it"}
            return Outcome(Result.UNKNOWN, str(error), retry_after=LATE, evidence=evidence)
        return Outcome(Result.DELIVERED, native_id=native, evidence=answer.evidence)

    def read_back(self, request: Write) -> Outcome:
        """Look for the entry in the ledger."""
        told = f"SAP has posted no journal entry of {request.business_ref}; what failed there is in its message monitor"
        return self._held(request) or Outcome(Result.ABSENT, f"{told}, as {_message_id(request)}")

    def _look_for(self, request: Write) -> Callable[[str], Progress]:
        def look(_: str) -> Progress:
            held = self._held(request)
            return Progress("done", result=held.native_id) if held else Progress("running", "it is queued")

        return look

    def _held(self, request: Write) -> Outcome | None:
        ours, company = _mark(request), self._api.option("company_code")
        chosen = f"CompanyCode eq {odata.text(company)} and DocumentReferenceID eq {odata.text(ours)}"
        for rows, _ in self._api.entries.rows("/A_JournalEntryItemBasic", filter=chosen):
            for row in rows:
                if row.get("DocumentReferenceID") == ours:
                    native = f"{company}/{row.get('FiscalYear')}/{row.get('AccountingDocument')}"
                    detail = f"SAP has {request.business_ref} as journal entry {native}"
                    return Outcome(Result.ALREADY_DELIVERED, detail, native_id=native)
        return None

    def _sent(self, content: bytes) -> Answer:
        path = str(self._api.context.options.get("journal_path") or PATH)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        answer = self._api.http.send(
            "POST", path, write=True, auth=self._api.auth, accept=(FAULT,), content=content, headers=headers
        )
        if answer.status == FAULT:
            self._fault(answer)
        if answer.content.strip() and "xml" not in answer.headers.get("content-type", ""):
            answer.fail("answered a journal entry with something that is not SOAP's")
        if answer.status != 202 and not answer.content.strip():
            answer.fail(f"answered a journal entry with {answer.status}, and 202 is how it says that it is queued")
        return answer

    def _fault(self, answer: Answer) -> None:
        try:
            root = markup(answer.content, "the fault")
            code, words = (
                next((str(one.text or "") for one in root.iter(f"{{*}}{name}", name)), "")
                for name in ("faultcode", "faultstring")
            )
        except UnreadableError:
            code, words = "", ""
        told = f"{self._api.context.system} answered with a fault: {words or 'without a word'}"[:600]
        ours = code.rpartition(":")[2].partition(".")[0].lower() in OURS
        raise with_evidence(
            RejectedError(told) if ours else UnknownOutcomeError(f"{told}; it may have taken effect"), answer.evidence
        )

    def _envelope(self, request: Write) -> bytes:
        payload, api = request.payload, self._api
        try:
            key, day, currency = str(payload["posting_key"]), str(payload["business_date"]), str(payload["currency"])
            items = "".join(self._item(at, line, currency) for at, line in enumerate(payload["lines"], 1))
        except KeyError as error:
            raise BadInputError(
                f"a journal entry is not made from this message: it has no {error}; nothing was sent; correct the flow"
            ) from error
        header = _tags(
            OriginalReferenceDocumentType="BKPFF", OriginalReferenceDocument=_mark(request), BusinessTransactionType="RFBU",
            AccountingDocumentType="SA", DocumentReferenceID=_mark(request), DocumentHeaderText=key[:25],
            CreatedByUser="TRUEUP", CompanyCode=api.option("company_code"), DocumentDate=day, PostingDate=day,
        )  # fmt: skip
        about = _about(request, api.context.clock.now())
        entry = f"<JournalEntryCreateRequest>{about}<JournalEntry>{header}{items}</JournalEntry></JournalEntryCreateRequest>"
        bulk = f"<s:JournalEntryBulkCreateRequest>{about}{entry}</s:JournalEntryBulkCreateRequest>"
        body = f'<e:Envelope xmlns:e="{SOAP}" xmlns:s="{SFIN}"><e:Body>{bulk}</e:Body></e:Envelope>'
        return f'<?xml version="1.0" encoding="utf-8"?>{body}'.encode()

    def _item(self, at: int, line: Mapping[str, Any], currency: str) -> str:
        debit, credit = odata.decimal(str(line["debit"])), odata.decimal(str(line["credit"]))
        side, amount = ("S", debit) if debit else ("H", -credit)
        account = self._api.context.codes.theirs("account", str(line["account"]))
        money = (
            f"<AmountInTransactionCurrency currencyCode={quoteattr(currency)}>{amount:f}</AmountInTransactionCurrency>"
        )
        told = _tags(ReferenceDocumentItem=str(at), GLAccount=account)
        rest = _tags(DebitCreditCode=side, DocumentItemText=str(line.get("memo") or "")[:50])
        return f"<Item>{told}{money}{rest}</Item>"


def _tags(**told: str) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items() if value)


def _mark(request: Write) -> str:
    return mark(request.entity, str(request.payload["posting_key"]))


def _message_id(request: Write) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"trueup/{request.idempotency_key}").hex.upper()


def _about(request: Write, now: datetime) -> str:
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"<MessageHeader>{_tags(ID=_message_id(request), CreationDateTime=stamp)}</MessageHeader>"
