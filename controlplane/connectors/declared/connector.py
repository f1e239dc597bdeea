"""The connector of every manifest: what it can do stands in `options.manifest` of its System policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from controlplane.connectors.contract import Connector, Context, Draft, Level, Manifest, Page, UnsupportedError, Write
from controlplane.connectors.declared import reading
from controlplane.connectors.declared.checks import OWN_OPTIONS, check, declared, document_of, manifest_of
from controlplane.connectors.declared.files import FilesSource
from controlplane.connectors.declared.manifest import (
    DeclaredWrite,
    Document,
    FilesDocument,
    Read,
    SqlDocument,
    Whole,
)
from controlplane.connectors.declared.rest import RestSource
from controlplane.connectors.declared.source import Source
from controlplane.connectors.declared.sql import SqlSource
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.records import read_json
from rules.outcomes import Outcome


class DeclaredConnector(Connector):
    """A REST or GraphQL system, a database or a folder by its manifest. Options: manifest, locations, and those that the manifest names."""

    manifest: ClassVar[Manifest] = Manifest(
        name="declared",
        title="Any REST or GraphQL system, database or folder, by a manifest in YAML",
        options=OWN_OPTIONS,
        check=check,
        specific=manifest_of,
        verified_against="each manifest says",
        kind="any",
        auth="as the manifest says: basic, bearer, API key, OAuth 1.0a and 2, login",
        limits="as the manifest says",
        gaps=("webhooks", "several writes in one request"),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.document = document_of(context.options)
        self.manifest = declared(self.document)  # type: ignore[misc]  # what it can do is its system's own
        self.options = {**self.document.optional, **context.options}
        self.source = _source(context, self.document, self.options)

    def close(self) -> None:
        """Leave the session and close the connections."""
        self.source.close()

    def ping(self) -> None:
        """Ask whether the system answers."""
        self.source.ping()

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield what changed since the cursor, everything where the manifest has no `since`."""
        read = self._read(entity, messages=True)
        if read is None:
            yield from super().poll(entity, cursor)
            return
        for rows, answer, moved in self.source.polled(read, cursor):
            yield Page(tuple(reading.record_of(read, row, answer.started) for row in rows), moved)

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
        for rows, answer in self.source.pages(read, None):
            told = (
                one for row in rows for one in reading.levels_of(read.levels, row, answer, self.context, self.options)
            )
            yield [one for one in told if wanted is None or (one.sku, one.location) in wanted]

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Send the request of the manifest."""
        return self.source.write(self._write(request.entity), request)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look it up by the manifest."""
        return self.source.read_back(self._write(request.entity), request)

    def first_page(self, entity: str) -> tuple[Read, list[dict[str, Any]], Answer]:
        """Return one page as it came, for `trueup connector try`. Raises ConnectorError, UnsupportedError."""
        read = next((one for one in self.document.reads if one.entity == entity), None)
        if read is None:
            raise UnsupportedError(f"the manifest does not read '{entity}'")
        rows, answer = next(self.source.pages(read, None))
        return read, rows, answer

    def _read(self, entity: str, *, messages: bool) -> Read | None:
        found = (one for one in self.document.reads if one.entity == entity)
        return next((one for one in found if one.messages or not messages), None)

    def _write(self, entity: str) -> DeclaredWrite:
        self.manifest.write_spec(entity)
        return next(one for one in self.document.writes if one.entity == entity)


def _source(context: Context, document: Whole, options: Mapping[str, Any]) -> Source:
    if isinstance(document, SqlDocument):
        return SqlSource(context, options)
    if isinstance(document, FilesDocument):
        return FilesSource(context, options)
    assert isinstance(document, Document)  # noqa: S101  # there are no others
    return RestSource(context, options, document)
