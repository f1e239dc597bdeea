"""SOAP through zeep, over the shared client: a WSDL below the endpoint, an operation, and its result as JSON has it.

zeep writes the envelope and reads the reply; it opens no connection of its own, and loads nothing that is not below the endpoint.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import httpx

from controlplane.connectors.http import Answer, HttpClient, with_evidence
from controlplane.connectors.paging import below
from controlplane.errors import (
    BadInputError,
    ConnectorError,
    RejectedError,
    SettingsError,
    UnavailableError,
    UnknownOutcomeError,
    UnreadableError,
)
from rules.personal import without_addresses

FAULT = 500
"""HTTP's status of an answer with a fault in it."""
OURS = ("client", "sender")
"""What a fault's code says where the request is at fault."""


class SoapClient:
    """One service of a system. The WSDL is read when first needed, once."""

    def __init__(self, http: HttpClient, auth: httpx.Auth | None, wsdl: str, service: str | None) -> None:
        self._http, self._auth, self._wsdl, self._service = http, auth, wsdl, service
        self._lock = threading.Lock()
        self._client: Any = None

    def call(self, operation: str, arguments: Mapping[str, Any], *, write: bool) -> Answer:
        """Call an operation; the answer's content is its result in JSON.

        Raises ConnectorError; a fault is RejectedError where it says that the request is wrong, else of a write UnknownOutcomeError.
        BadInputError before anything is sent, for arguments that the WSDL does not have.
        """
        client = self._opened()
        binding = client.service._binding
        envelope, headers = self._written(client, binding, operation, arguments)
        answer = self._http.send(
            "POST", self._path(client), write=write, auth=self._auth, accept=(FAULT,), content=envelope, headers=headers
        )
        return replace(
            answer,
            status=200,
            headers={"content-type": "application/json"},
            content=self._read(client, binding, operation, answer),
        )

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._loaded()
            return self._client

    def _loaded(self) -> Any:
        try:
            from lxml.etree import LxmlError
            from zeep import Client, Settings
            from zeep.exceptions import Error
        except ImportError:
            raise SettingsError("SOAP takes the extra `trueup[soap]`; install it") from None
        base = self._http.context.endpoint.rstrip("/")
        try:
            settings = Settings(strict=True, forbid_dtd=True)
            client = Client(base + self._wsdl, transport=_Below(self._http, self._auth), settings=settings)
            client.service  # noqa: B018  # raises where the WSDL has no service
            return client
        except (Error, LxmlError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UnreadableError(
                f"{self._http.context.system}: the WSDL at {self._wsdl} cannot be read: {error!r:.300}"
            ) from error

    def _path(self, client: Any) -> str:
        if self._service:
            return self._service
        address = str(client.service._binding_options["address"])
        nothing = Answer(200, {}, b"", self._http.context.clock.now(), self._http.context.clock.now(), wrote=False)
        try:
            return below(self._http.context.endpoint, address, nothing) or "/"
        except UnreadableError:
            raise SettingsError(
                f"System '{self._http.context.system}': the WSDL says that the service is at {address}, outside of the endpoint; "
                "say in the manifest where it is: `soap.service`"
            ) from None

    def _written(
        self, client: Any, binding: Any, operation: str, arguments: Mapping[str, Any]
    ) -> tuple[bytes, dict[str, str]]:
        from zeep.exceptions import Error
        from zeep.wsdl.utils import etree_to_string

        try:
            envelope, headers = binding._create(
                operation, (), dict(arguments), client=client, options=client.service._binding_options
            )
        except (Error, TypeError, ValueError, KeyError, AttributeError) as error:
            rule = f"the operation {operation} cannot be called so: {error}"
            raise BadInputError(f"{rule}; nothing was sent; correct the manifest") from error
        return etree_to_string(envelope), dict(headers)

    def _read(self, client: Any, binding: Any, operation: str, answer: Answer) -> bytes:
        from lxml.etree import LxmlError
        from zeep.exceptions import Error, Fault
        from zeep.helpers import serialize_object

        text = answer.content.decode("utf-8", "replace")
        response = SimpleNamespace(
            status_code=answer.status, content=answer.content, headers=answer.headers, encoding="utf-8", text=text
        )
        try:
            result = binding.process_reply(client, binding.get(operation), response)
            if not _is_of(binding.get(operation), answer.content):
                raise ValueError(operation)  # the reader passes over what it does not know
        except Fault as error:
            raise with_evidence(self._fault(error, answer), answer.evidence) from error
        except (Error, LxmlError, ValueError, KeyError, AttributeError, TypeError) as error:
            answer.fail(f"answered {operation} with what its WSDL does not allow: {type(error).__name__}")
        return json.dumps(serialize_object(result, dict), default=_plain).encode()

    def _fault(self, fault: Any, answer: Answer) -> ConnectorError:
        system = self._http.context.system
        told = (
            f"{system} answered with a fault: {without_addresses(self._http.redactor.text(str(fault.message)))[:500]}"
        )
        if str(fault.code or "").rpartition(":")[2].partition(".")[0].lower() in OURS:
            return RejectedError(told)
        return UnknownOutcomeError(f"{told}; it may have taken effect") if answer.wrote else UnavailableError(told)


class _Below:
    """zeep's transport: loads what is below the endpoint, through the shared client, and sends nothing."""

    def __init__(self, http: HttpClient, auth: httpx.Auth | None) -> None:
        self._http, self._auth = http, auth

    def load(self, url: str) -> bytes:
        """Return the content of a WSDL or schema."""
        now = self._http.context.clock.now()
        path = below(self._http.context.endpoint, url, Answer(200, {}, b"", now, now, wrote=False))
        return self._http.send("GET", path or "/", write=False, auth=self._auth).content


def _is_of(operation: Any, content: bytes) -> bool:
    """Say whether a reply has the element that the WSDL announces."""
    from lxml import etree

    wanted = getattr(operation.output.body, "qname", None)
    root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    body = next((one for one in root if etree.QName(one).localname == "Body"), ())
    return wanted is None or operation.style != "document" or any(one.tag == wanted.text for one in body)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
