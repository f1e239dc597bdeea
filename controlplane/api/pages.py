"""Lists in parts: what asks for a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, jsonify
from pydantic import Field
from sqlalchemy import Connection

from controlplane.api.answers import plane
from controlplane.api.fields import KEPT, Instant, Query
from controlplane.views.narrowing import Narrow
from controlplane.views.paging import MOST, Part, Stretch


class Paged(Query):
    """Which part of a list that grows."""

    limit: int = Field(default=100, ge=1, le=MOST, description="rows of a part")
    cursor: str | None = Field(default=None, max_length=1000, pattern=KEPT, description="`next` of the part before")

    @property
    def stretch(self) -> Stretch:
        """The part, as the views take it."""
        return Stretch(self.limit, self.cursor)


class Narrowed(Paged):
    """Which rows of a list: those whose columns have the values of the fields that a list adds here, each by the column's name."""

    @property
    def narrow(self) -> Narrow:
        """What the rows have in common, as the views take it."""
        told = self.model_dump(exclude_none=True, exclude={"limit", "cursor", "since", "until", *self.beside()})
        return Narrow(told, getattr(self, "since", None), getattr(self, "until", None))

    @classmethod
    def beside(cls) -> frozenset[str]:
        """Return the fields that are no columns."""
        return frozenset()


class Timed(Narrowed):
    """The same, within a stretch of time."""

    since: Instant | None = Field(default=None, description="only from here")
    until: Instant | None = Field(default=None, description="only to here, not included")


def listed(name: str, view: Callable[[Connection, Narrow, Stretch], Part[Any]], query: Narrowed) -> Response:
    """Answer a part of what a view lists, under its name, and the cursor of the next."""
    with plane().store.read() as conn:
        found = view(conn, query.narrow, query.stretch)
    return jsonify({name: found.rows, "next": found.next})
