"""A declared system that speaks REST, JSON or GraphQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.connectors.contract import Context, UnsupportedError, Write
from controlplane.connectors.declared import reading, writing
from controlplane.connectors.declared.access import Entrance
from controlplane.connectors.declared.manifest import DeclaredWrite, Document, Read, RestRead
from controlplane.connectors.declared.soap import SoapClient
from controlplane.connectors.declared.source import Rows, Source
from controlplane.connectors.http import Answer, HttpClient
from controlplane.connectors.redaction import Redactor
from rules.outcomes import Outcome


class RestSource(Source):
    """Requests through the shared client."""

    def __init__(self, context: Context, options: Mapping[str, Any], document: Document) -> None:
        super().__init__(context, options)
        self._http = HttpClient(context, Redactor(map(context.secret, document.secrets())), headers=document.headers)
        self.entrance = Entrance(context, self._http, document.access, document.csrf)
        told = document.soap
        soap = SoapClient(self._http, self.entrance.auth, told.wsdl, told.service) if told else None
        self._wire = reading.Wire(context, self._http, self.entrance.auth, document, options, soap)

    def ping(self) -> None:
        """Send the manifest's ping."""
        if self._wire.document.ping is None:
            raise UnsupportedError(
                "the manifest has no `ping`; add a cheap request that proves that the system answers us"
            )
        self._wire.ask(self._wire.document.ping, {}, write=False)

    def pages(self, read: Read, since: str | None) -> Iterator[tuple[Rows, Answer]]:
        """Turn the pages of a request."""
        assert isinstance(read, RestRead)  # noqa: S101  # a manifest of this kind has no others
        return reading.pages(self._wire, read, since)

    def write(self, spec: DeclaredWrite, request: Write) -> Outcome:
        """Send the request of the manifest."""
        return writing.write(self._wire, spec, request)

    def read_back(self, spec: DeclaredWrite, request: Write) -> Outcome:
        """Look it up by the manifest."""
        return writing.read_back(self._wire, spec, request)

    def close(self) -> None:
        """Leave the session and close the connections."""
        self.entrance.close()
        self._http.close()
