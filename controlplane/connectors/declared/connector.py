"""The connector of every manifest: what it can do stands in `options.manifest` of its System policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

from controlplane.connectors.contract import Connector, Context, Draft, Level, Manifest, Page, UnsupportedError, Write
from controlplane.connectors.declared import reading, writing
from controlplane.connectors.declared.access import Entrance
from controlplane.connectors.declared.checks import OWN_OPTIONS, check, declared, document_of, manifest_of
from controlplane.connectors.declared.manifest import DeclaredWrite, Read
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import read_json
from controlplane.connectors.redaction import Redactor
from rules.outcomes import Outcome


class DeclaredConnector(Connector):
    """A REST or GraphQL system by its manifest. Options: manifest, locations, and those that the manifest names."""

    manifest: ClassVar[Manifest] = Manifest(
        name="declared",
        title="Any REST, JSON or GraphQL system, by a manifest in YAML",
        options=OWN_OPTIONS,
        check=check,
        specific=manifest_of,
        verified_against="each manifest says",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.document = document_of(context.options)
        self.manifest = declared(self.document)  # type: ignore[misc]  # what it can do is its system's own
        self.options = {**self.document.optional, **context.options}
        redactor = Redactor(context.secret(name) for name in self.manifest.secrets)
        self._http = HttpClient(context, redactor)
        self._entrance = Entrance(context, self._http, self.document.access, self.document.csrf)
        self._wire = reading.Wire(context, self._http, self._entrance.auth, self.document, self.options)

    def close(self) -> None:
        """Leave the session and close the connections."""
        self._entrance.close()
        self._http.close()

    def ping(self) -> None:
        """Send the manifest's ping."""
        if self.document.ping is None:
            raise UnsupportedError(
                "the manifest has no `ping`; add a cheap request that proves that the system answers us"
            )
        self._wire.ask(self.document.ping, {}, write=False)

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield what changed since the cursor, everything where the manifest has no `since`."""
        read = self._read(entity, messages=True)
        if read is None:
            yield from super().poll(entity, cursor)
            return
        held = cursor or {}
        last = datetime.fromisoformat(held["since"]) if held and read.since else None
        asked = reading.asked_since(read.since, last) if read.since and last else None
        seen = last
        for rows, answer in reading.pages(self._wire, read, asked):
            seen = _later(read, rows, answer, seen)
            records = tuple(reading.record_of(read, row, answer.started) for row in rows)
            moves = seen is not None and read.since is not None and read.since.grows
            yield Page(records, _cursor(seen) if moves else held)
        yield Page((), _cursor(seen) if read.since else {})

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Make the messages of the manifest of a record."""
        read = self._read(topic, messages=True)
        if read is None:
            return []
        return list(reading.drafts_of(read, read_json(body), self.context, self.options))

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """Yield the levels of the manifest; of keys too everything is read, and theirs are kept."""
        read = self._read(entity, messages=False)
        if read is None or read.levels is None:
            yield from super().snapshot(entity, keys)
            return
        wanted = None if keys is None else set(keys)
        for rows, answer in reading.pages(self._wire, read, None):
            told = (
                one for row in rows for one in reading.levels_of(read.levels, row, answer, self.context, self.options)
            )
            yield [one for one in told if wanted is None or (one.sku, one.location) in wanted]

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Send the request of the manifest."""
        return writing.write(self._wire, self._write(request.entity), request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look it up by the manifest."""
        return writing.read_back(self._wire, self._write(request.entity), request)

    def first_page(self, entity: str) -> tuple[Read, list[dict[str, Any]], Answer]:
        """Return one page as it came, for `trueup connector try`. Raises ConnectorError, UnsupportedError."""
        read = next((one for one in self.document.reads if one.entity == entity), None)
        if read is None:
            raise UnsupportedError(f"the manifest does not read '{entity}'")
        rows, answer = next(reading.pages(self._wire, read, None))
        return read, rows, answer

    def _read(self, entity: str, *, messages: bool) -> Read | None:
        found = (one for one in self.document.reads if one.entity == entity)
        return next((one for one in found if one.messages or not messages), None)

    def _write(self, entity: str) -> DeclaredWrite:
        self.manifest.write_spec(entity)
        return next(one for one in self.document.writes if one.entity == entity)


def _later(read: Read, rows: Sequence[dict[str, Any]], answer: Answer, seen: datetime | None) -> datetime | None:
    """Return the last change of all, never one that is still to come: it would hide all until then."""
    if read.since is None or not rows:
        return seen
    changes = [at for row in rows if (at := reading.changed_at(read.since, row))]
    if not changes:
        answer.fail(f"gives no time of change where '{read.since.field}' of the manifest looks for it")
    latest = min(max(changes), answer.ended)
    return latest if seen is None else max(seen, latest)


def _cursor(seen: datetime | None) -> dict[str, Any]:
    return {"since": seen.isoformat()} if seen else {}
