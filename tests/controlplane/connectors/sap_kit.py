"""Exchanges with the simulated SAP held against SAP's own descriptions: OpenAPI for what is asked and answered, EDMX for every name.

The parts of a `$batch` are exchanges like any other. What SAP numbers itself its descriptions call required, which its prose does not.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from tests.controlplane.connectors.simulators import SPECS
from tests.openapi import Contract

ROOT = "/sap/opu/odata/sap/"
FOLDER = SPECS / "sap-s4"
FILES = {
    "API_MATERIAL_STOCK_SRV": ("API_MATERIAL_STOCK_SRV", "A_MaterialStock"),
    "API_SALES_ORDER_SRV": ("API_SALES_ORDER_SRV", "A_SalesOrder"),
    "API_OUTBOUND_DELIVERY_SRV;v=0002": ("API_OUTBOUND_DELIVERY_SRV_0002", "A_OutbDeliveryHeader"),
    "API_MATERIAL_DOCUMENT_SRV": ("API_MATERIAL_DOCUMENT_SRV", "A_MaterialDocumentHeader"),
}
"""Service -> its description. Products and the ledger's items have none that is public."""
NUMBERED = re.compile(
    r"'(SalesOrder|DeliveryDocument|MaterialDocument(Year|Item)?|PricingProcedure(Step|Counter))' is a required property"
)
"""Keys that SAP gives itself, and nobody who creates."""
SETS = {"PickAllItems": "PickingReport", "PostGoodsIssue": "PickingReport"}


@dataclass
class Edmx:
    """Names of the properties of each entity type, and where its links lead."""

    properties: dict[str, set[str]] = field(default_factory=dict)
    lengths: dict[tuple[str, str], int] = field(default_factory=dict)
    links: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    @cache
    def read(cls, file: Path) -> Edmx:
        """Read a description."""
        found, ends = cls(), {}
        root = ElementTree.parse(file).getroot()  # noqa: S314  # SAP's own, beside the project
        for one in root.iter():
            if one.tag.endswith("}Association"):
                ends[one.get("Name")] = {
                    end.get("Role"): str(end.get("Type")).rpartition(".")[2] for end in one if end.tag.endswith("}End")
                }
        for kind in root.iter():
            if kind.tag.endswith(("}EntityType", "}ComplexType")):
                found._add(kind, ends)
        return found

    def _add(self, kind: ElementTree.Element, ends: Mapping[Any, Mapping[Any, str]]) -> None:
        name = str(kind.get("Name"))
        self.properties[name] = set()
        for one in kind:
            told = str(one.get("Name"))
            if one.tag.endswith("}Property"):
                self.properties[name].add(told)
                if (one.get("MaxLength") or "").isdigit():
                    self.lengths[name, told] = int(str(one.get("MaxLength")))
            elif one.tag.endswith("}NavigationProperty"):
                relation = str(one.get("Relationship")).rpartition(".")[2]
                self.links[name, told] = ends.get(relation, {}).get(one.get("ToRole"), "")

    def complaints(self, kind: str, value: Any) -> Iterator[str]:
        """Say what of an entity, or a list of them, is not described."""
        rows = value.get("results") if isinstance(value, Mapping) and "results" in value else [value]
        for row in rows or ():
            yield from self._of_one(kind, row)

    def _of_one(self, kind: str, row: Any) -> Iterator[str]:
        known = self.properties.get(kind)
        if known is None or not isinstance(row, Mapping):
            yield f"{kind} is no type of the service"
            return
        for name, value in row.items():
            if (kind, name) in self.links:
                if "__deferred" not in value:
                    yield from self.complaints(self.links[kind, name], value)
            elif name not in known and name != "__metadata":
                yield f"{kind} has no {name}"
            elif isinstance(value, str) and len(value) > self.lengths.get((kind, name), 1000):
                yield f"{kind}.{name} has no room for '{value}'"


ROOT4 = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001"
NEWER = "CE_SALESORDER_0001"
"""The service of sales orders in OData V4, and its description; of names and lengths it says as much as an EDMX."""


class Held:
    """Middleware that holds every exchange against the descriptions."""

    def __init__(self) -> None:
        self.contracts = {
            service: Contract([FOLDER / "openapi" / f"{file}.json"], f"{ROOT}{service}")
            for service, (file, _) in FILES.items()
        }
        self.contracts[NEWER] = Contract([FOLDER / "openapi" / f"{NEWER}.json"], ROOT4)
        self.types = {service: Edmx.read(FOLDER / f"{service.partition(';')[0]}.edmx") for service in FILES}
        self.broken: list[str] = []

    @staticmethod
    def at_hand() -> bool:
        """Whether the descriptions are here."""
        return all((FOLDER / "openapi" / f"{file}.json").is_file() for file, _ in FILES.values())

    @property
    def used(self) -> set[str]:
        """Operations that were seen."""
        return {one for contract in self.contracts.values() for one in contract.used}

    def around(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """Wrap an application."""

        def wrapped(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            if environ["PATH_INFO"].startswith(f"{ROOT4}/") and (rest := environ["PATH_INFO"][len(ROOT4) + 1 :]):
                return self._held(app, NEWER, rest, environ, start)
            service, _, path = environ["PATH_INFO"].removeprefix(ROOT).partition("/")
            if service not in FILES or not path:
                return app(environ, start)
            return self._held(app, service, path, environ, start)

        return wrapped

    def _held(self, app: Any, service: str, path: str, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        seen: list[tuple[int, str]] = []

        def started(status: str, headers: Any, *rest: Any) -> Any:
            seen.append((int(status.split()[0]), dict(headers).get("Content-Type", "")))
            return start(status, headers, *rest)

        answer = b"".join(app(environ, started))
        status, kind = seen[-1]
        if status in (401, 403, 429) or (status, answer) == (502, b""):
            return [answer]  # of the gateway, before any service, or nobody reads it
        if path == "$batch" and status in (200, 202):
            self._parts(service, environ["CONTENT_TYPE"], body, kind, answer)
        else:
            self._check(service, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), body, status, answer)
        return [answer]

    def _parts(self, service: str, asked_kind: str, asked: bytes, kind: str, answer: bytes) -> None:
        requests = [_http(one) for part in _split(asked_kind, asked) for one in (_inner(part) or [part])]
        replies = [_http(one) for part in _split(kind, answer) for one in (_inner(part) or [part])]
        for (line, body), (status, told) in zip(requests, replies, strict=True):
            method, target, _ = line.split(" ", 2)
            path, _, query = target.partition("?")
            self._check(service, method, path, query, body, int(status.split()[1]), told)

    def _check(
        self, service: str, method: str, path: str, query: str, body: bytes, status: int, answer: bytes
    ) -> None:  # fmt: skip
        contract = self.contracts[service]
        root = ROOT4 if service == NEWER else f"{ROOT}{service}"
        about = {"REQUEST_METHOD": method, "PATH_INFO": f"{root}/{unquote(path)}", "QUERY_STRING": query}
        contract._check(about, body, status, answer)
        self.broken += [one for one in contract.broken if not NUMBERED.search(one)]
        contract.broken.clear()
        if service == NEWER:
            return
        name = re.split(r"[(/]", path)[0]
        kind = SETS.get(name, f"{name}Type" if f"{name}Type" in self.types[service].properties else name)
        for what, content in (("asks", body), ("answers", answer)):
            told = json.loads(content) if content else None
            if isinstance(told, Mapping) and "error" not in told:
                entity = told.get("d", told)
                self.broken += [f"{method} {path} {what}: {one}" for one in self._named(service, kind, entity)]

    def _named(self, service: str, kind: str, entity: Any) -> Iterator[str]:
        told = {name: value for name, value in entity.items() if name not in ("__count", "__next")}
        yield from self.types[service].complaints(kind, told)


def _split(kind: str, body: bytes) -> list[Message]:
    found = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body).get_payload()
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, Message)]


def _inner(part: Message) -> list[Message]:
    found = part.get_payload()
    return [one for one in found if isinstance(one, Message)] if isinstance(found, list) else []


def _http(part: Message) -> tuple[str, bytes]:
    head, _, body = str(part.get_payload()).replace("\r\n", "\n").partition("\n\n")
    return head.split("\n")[0], body.strip().encode()
