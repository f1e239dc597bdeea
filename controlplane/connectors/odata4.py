"""OData V4: the same services as `odata.py`, written otherwise. Days are ISO, lists stand in `value`, nothing is wrapped.

Decimals are told and asked for as text (`IEEE754Compatible`), for a number of JSON is read by many as a binary one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import httpx

from controlplane.connectors.http import Answer
from controlplane.connectors.odata import Row, Service

KIND = "application/json;IEEE754Compatible=true"


class Service4(Service):
    """One service of V4."""

    kinds: ClassVar[Row] = {"Accept": KIND, "Content-Type": KIND, "OData-Version": "4.0", "OData-MaxVersion": "4.0"}
    together: ClassVar[Row] = {"Prefer": "odata.continue-on-error"}
    """Without it a batch ends at the first part that is refused."""

    @staticmethod
    def entity_of(body: Any) -> dict[str, Any] | None:
        """Return the entity that a body is; None where it is none."""
        return dict(body) if isinstance(body, Mapping) and not {"value", "error"} & body.keys() else None

    @staticmethod
    def rows_of(body: Any) -> list[dict[str, Any]] | None:
        """Return the rows that a body lists, None where it is no list."""
        rows = body.get("value") if isinstance(body, Mapping) else None
        return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None

    @staticmethod
    def further_of(body: Any) -> str | None:
        """Return where a list goes on."""
        told = body.get("@odata.nextLink") if isinstance(body, Mapping) else None
        return str(told) if told else None

    @staticmethod
    def nested(rows: Sequence[Row]) -> Any:
        """Return what an entity is made with under a navigation."""
        return list(rows)

    @staticmethod
    def inside(entity: Row, name: str) -> list[dict[str, Any]]:
        """Return what an entity holds under a navigation that was expanded. Raises KeyError, TypeError where it was not."""
        return [dict(row) for row in entity[name]]

    @staticmethod
    def day(told: str) -> str:
        """Return a day."""
        return told[:10]

    @staticmethod
    def tag(answer: Answer, entity: Row) -> str:
        """Return the ETag of an entity; empty where it has none."""
        return str(answer.headers.get("etag") or entity.get("@odata.etag") or "")

    def merge(self, path: str, body: Row, tag: str) -> Answer:
        """Change some properties of an entity that is still as it was read."""
        answer = self._sent("PATCH", path, write=True, json=dict(body), headers={"If-Match": tag})
        if answer.status not in (httpx.codes.OK, httpx.codes.NO_CONTENT):
            answer.fail(f"answered a change with {answer.status}, and 200 or 204 is how it says that it is made")
        return answer
