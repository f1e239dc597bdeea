"""What is beyond somebody's reach, for whatever people do: asked here, once, before a deed is done. The law stands in `rules.reach`.

A deed itself is the plane's: it goes by the whole registry, so it is done unconfined once it may be done at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Table, select

from controlplane.access import Actor, require
from controlplane.errors import ForbiddenError, NotFoundError
from controlplane.registry.permits import refuse_beyond
from controlplane.store import tables as t
from controlplane.sync.quarantine import Selection
from controlplane.wiring import Plane
from rules.reach import Sight


class Gate:
    """Lets people act on one plane: with the right, and within their reach."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def deed(self, actor: Actor, right: str, **about: str) -> AbstractContextManager[None]:
        """Let the block be done. `about`: kind of policy (System, Flow, Comparison) -> the name of what is acted on.

        Raises ForbiddenError without the right or for what is not in hand, NotFoundError for what is not in sight.
        """
        require(actor, right)
        if not actor.reach.everything:
            with self._plane.store.unconfined():
                snapshot = self._plane.registry.snapshot()
            for kind, name in about.items():
                _refuse_unseen(snapshot.sight(actor.reach), kind, name)
                refuse_beyond(snapshot, actor, kind, name)
        return self._plane.store.unconfined()

    @contextmanager
    def deed_on(self, actor: Actor, right: str, table: Table, identity: str) -> Iterator[None]:
        """The same for a row, which has to be in sight."""
        require(actor, right)
        if not actor.reach.everything:
            self._refuse_row(actor, table, identity)
        with self._plane.store.unconfined():
            yield

    def _refuse_row(self, actor: Actor, table: Table, identity: str) -> None:
        store, whose = self._plane.store, table.c.flow if table is t.replay else table.c.id
        with store.confined(self.sight(actor).lists()), store.read() as conn:
            found = conn.execute(select(whose).where(table.c.id == identity)).scalar_one_or_none()
        if found is None:
            what = table.name.replace("_", " ")
            raise NotFoundError(f"there is no {what} '{identity}' that is in sight of {actor.reach}")
        if table is t.replay:  # it moves the whole flow
            with store.unconfined():
                refuse_beyond(self._plane.registry.snapshot(), actor, "Flow", found)

    def sight(self, actor: Actor) -> Sight:
        """Return what is in sight of somebody."""
        with self._plane.store.unconfined():
            return self._plane.registry.snapshot().sight(actor.reach)

    def seen_of(self, actor: Actor, selection: Selection) -> Selection:
        """Return a selection of no other cases than are in sight."""
        if actor.reach.everything:
            return selection
        store = self._plane.store
        with store.confined(self.sight(actor).lists()), store.read() as conn:
            return replace(selection, only=tuple(selection.find(conn)))

    def told(self, actor: Actor, value: Any) -> Any:
        """Return an answer of the plane without the names of what is out of sight."""
        return value if actor.reach.everything else _veiled(self.sight(actor), value)

    def refusal(self, actor: Actor, text: str, asked: Collection[str]) -> str:
        """Return why the plane refuses somebody something, without the names of what is out of sight, or of what is nowhere."""
        return text if actor.reach.everything else self.sight(actor).veil(text, asked)

    def refuse_source(self, actor: Actor, source: str, kind: str) -> None:
        """Refuse a message that somebody may not tell: its source is whole to them, and its type in sight. Raises ForbiddenError."""
        if actor.reach.everything:
            return
        seen = self.sight(actor)
        if source not in seen.whole or not seen.types & {kind, "*"}:
            raise ForbiddenError(
                f"'{actor.name}' reaches {actor.reach}, and may not tell '{kind}' of '{source}'; ask somebody who may"
            )


def _refuse_unseen(seen: Sight, kind: str, name: str) -> None:
    if (kind, name) not in seen.documents:
        raise NotFoundError(f"there is no {kind} '{name}' that is in sight of {seen.reach}")


def _veiled(seen: Sight, value: Any) -> Any:
    match value:
        case str():
            return seen.veil(value)
        case Mapping():
            return {seen.veil(str(key)): _veiled(seen, one) for key, one in value.items()}
        case list() | tuple():
            return [_veiled(seen, one) for one in value]
    return value
