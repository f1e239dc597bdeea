"""Which tax codes AvaTax knows, its own and the account's, and whether they are in use."""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.connectors.builtin.avalara.api import Api

THEIRS, OURS = "/api/v2/definitions/taxcodes", "/api/v2/taxcodes"
FEW = 50
"""Codes that one filter names."""


def standing(api: Api, codes: Iterable[str]) -> dict[str, bool | None]:
    """Return which of the codes are known: in upper case -> in use, or None where that is not said. Raises ConnectorError.

    A code is looked for among Avalara's, then, where it is not there, among the account's own.
    """
    wanted = sorted({code.upper() for code in codes})
    found = _among(api, THEIRS, wanted)
    return found | _among(api, OURS, [code for code in wanted if code not in found])


def _among(api: Api, path: str, wanted: list[str]) -> dict[str, bool | None]:
    found: dict[str, bool | None] = {}
    for at in range(0, len(wanted), FEW):
        named = ", ".join(f"'{_quoted(code)}'" for code in wanted[at : at + FEW])
        for rows, answer in api.rows(path, filter=f"taxCode in ({named})", orderBy="id ASC"):
            for row in rows:
                if not isinstance(row, dict) or not isinstance(row.get("taxCode"), str):
                    answer.fail("answered a tax code without its name")
                code, active = row["taxCode"].upper(), row.get("isActive")
                if code in wanted:  # one company may have retired what another one uses
                    found[code] = _either(found.get(code), active if isinstance(active, bool) else None)
    return found


def _either(one: bool | None, other: bool | None) -> bool | None:
    return True if one or other else other if one is None else one


def _quoted(code: str) -> str:
    return code.replace("'", "''")
