"""Settlement reports, which Amazon makes by itself: listed, fetched one by one, each read only as far as it holds together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from controlplane.connectors.builtin.amazon import settlement
from controlplane.connectors.builtin.amazon.api import Api, listed
from controlplane.connectors.builtin.amazon.documents import Document, download
from controlplane.connectors.contract import Context, Draft, Page, Record
from controlplane.connectors.http import Answer
from controlplane.connectors.paging import by_token, expiring
from controlplane.connectors.records import content_key, verbatim
from controlplane.errors import BadInputError, RejectedError

REPORTS, DOCUMENTS = "/reports/2021-06-30/reports", "/reports/2021-06-30/documents"
SETTLEMENTS = "settlements"
KIND = "GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE_V2"
KEPT = timedelta(days=89)
"""How far back a first poll looks: Amazon keeps reports for 90 days."""
OVERLAP = timedelta(days=2)
"""A report may be done this long after it was begun."""
TOGETHER = 500
"""Rows of a page."""
MOST = 20_000
"""Rows that a report which was put right is read with at once."""


class Reports:
    """Settlement reports of one seller. The cursor moves with each report, for so few documents may be fetched in an hour."""

    def __init__(self, context: Context, api: Api) -> None:
        self._context, self._api = context, api

    def poll(self, cursor: Mapping[str, Any] | None) -> Iterator[Page]:
        """Yield pages of rows, report after report, oldest first. Raises ConnectorError."""
        held = dict(cursor or {})
        since = datetime.fromisoformat(held["since"]) if held else self._context.clock.now() - KEPT
        done = {str(name): str(at) for name, at in held.get("done", {}).items()}
        for report in self._listed(since - OVERLAP if held else since):
            name, made = str(report["reportId"]), datetime.fromisoformat(str(report["createdTime"]))
            if name in done:
                continue
            records = self._records(report)
            while some := tuple(islice(records, TOGETHER)):
                yield Page(some, held)
            since, done = (
                max(since, made),
                {**done, name: made.isoformat()},
            )  # a cursor that was given is not touched any more
            done = {one: at for one, at in done.items() if datetime.fromisoformat(at) >= since - OVERLAP}
            held = {"since": since.isoformat(), "done": done}
            yield Page((), held)
        if not held:
            yield Page((), {"since": since.isoformat(), "done": {}})

    def _listed(self, since: datetime) -> list[dict[str, Any]]:
        def fetch(token: str | None) -> Answer:
            if token:
                return self._api.ask(REPORTS, nextToken=token)
            asked: dict[str, Any] = {"reportTypes": KIND, "processingStatuses": "DONE", "pageSize": 100}
            return self._api.ask(REPORTS, createdSince=since.strftime("%Y-%m-%dT%H:%M:%SZ"), **asked)

        found: list[dict[str, Any]] = []
        for answer in by_token(expiring(fetch), _next, listed("reports")):
            try:
                found += [
                    {name: row[name] for name in ("reportId", "createdTime", "reportDocumentId")}
                    for row in answer.json()["reports"]
                    if datetime.fromisoformat(str(row["createdTime"])).tzinfo
                ]
            except (KeyError, TypeError, ValueError):
                answer.fail("answered a list of reports that breaks its contract")
        return sorted(found, key=lambda row: (datetime.fromisoformat(str(row["createdTime"])), str(row["reportId"])))

    def _records(self, report: Mapping[str, Any]) -> Iterator[Record]:
        document = self.document(str(report["reportDocumentId"]))
        try:
            settlement.check(document.lines())
        except ValueError as error:
            fault = {"line": getattr(error, "line", 0), "reason": getattr(error, "reason", str(error))}
            yield _record(str(report["reportId"]), {"report": dict(report), "fault": fault})
            return
        for row in settlement.rows(document.lines()):
            yield _record(row.ref, row.told())

    def document(self, name: str) -> Document:
        """Fetch a document. Raises ConnectorError."""
        answer = self._api.ask(f"{DOCUMENTS}/{quote(name, safe='')}")
        try:
            told = answer.json()
            url, packed = str(told["url"]), told.get("compressionAlgorithm")
        except (KeyError, TypeError, AttributeError):
            answer.fail("answered a document without its address")
        return download(self._context, url, packed, answer)

    def drafts(self, told: Mapping[str, Any]) -> list[Draft]:
        """Read a row; a report that did not hold together is fetched anew, and refused as long as it does not.

        Raises BadInputError, ConnectorError, KeyError, TypeError, ValueError.
        """
        if "report" not in told:
            return settlement.drafts(told)
        report, fault = told["report"], told.get("fault") or {}
        refused = (
            f"settlement report {report['reportId']}, line {fault.get('line')}: {fault.get('reason')}; "
            "nothing of it was posted. Ask Amazon for a report that is right, which is read by itself, and drop this one"
        )
        try:
            return self.whole(str(report["reportId"]), str(report["reportDocumentId"]))
        except (RejectedError, settlement.FlawedFileError) as error:
            raise BadInputError(refused, "report") from error

    def whole(self, name: str, document_name: str) -> list[Draft]:
        """Read a report at once. Raises BadInputError, ConnectorError, and FlawedFileError for one that does not hold together."""
        document = self.document(document_name)
        count = settlement.check(document.lines())
        if count > MOST:
            raise BadInputError(
                f"settlement report {name} has {count} rows, and {MOST} are read at once; poll it", "report"
            )
        return [draft for row in settlement.rows(document.lines()) for draft in settlement.drafts(row.told())]


def _record(name: str, told: Mapping[str, Any]) -> Record:
    body = verbatim(told)
    return Record(SETTLEMENTS, content_key(SETTLEMENTS, name, body), body)


def _next(answer: Answer) -> str | None:
    found = answer.json()
    return found.get("nextToken") if isinstance(found, dict) else None
