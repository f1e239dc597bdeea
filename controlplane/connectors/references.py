"""A connector of a System whose references are told apart: whatever comes in gets the prefix, whatever is written to it loses it.

This is the one place where that is done. No connector knows of it, and of a System without `references` nothing is put around.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select

from controlplane.connectors.contract import (
    Connector,
    Draft,
    Entry,
    Feed,
    Inbound,
    Level,
    Page,
    Record,
    Setting,
    Waiting,
    Write,
)
from controlplane.store import Store
from controlplane.store import tables as t
from rules.outcomes import Outcome
from rules.pacing import Allowance
from rules.references import ORDER, ORDER_PLACED, OWN, Naming, Told


class Referring(Connector):
    """Another connector, to which the system's own references are told and by which they are asked for."""

    def __init__(self, inner: Connector, naming: Naming, told: Told) -> None:
        super().__init__(inner.context)
        self.manifest = inner.manifest  # type: ignore[misc]  # the inner one's, be it the class's or its own
        self.inner, self._naming, self._told = inner, naming, told

    # --- what bears references ---

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Return what the record says, in the plane's references. What it says of another System is in those already."""
        system = self.context.system
        drafts = self.inner.translate(topic, body)
        return [self._inward(draft) if draft.source in ("", system) else draft for draft in drafts]

    def _inward(self, draft: Draft) -> Draft:
        """The key by which the fact is known stays as it is: what was told before the prefix is told again, not anew."""
        data, own = self._naming.inward(draft.type, draft.data, self._told), OWN.get(draft.type, "")
        meant = own and draft.data.get(own) == draft.subject
        return replace(draft, data=data, subject=data[own] if meant else draft.subject)

    def write(self, request: Write) -> Outcome:
        """Write it in the system's references."""
        return self.inner.write(self._outward(request))

    def write_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Write them in the system's references."""
        return self.inner.write_many([self._outward(request) for request in requests])

    def read_back(self, request: Write) -> Outcome:
        """Look for it by the system's references."""
        return self.inner.read_back(self._outward(request))

    def _outward(self, request: Write) -> Write:
        return replace(request, payload=self._naming.outward(request.payload))

    def entries(
        self, entity: str, subjects: Sequence[str] | None = None, since: datetime | None = None
    ) -> Iterator[list[Entry]]:
        """Tell of orders in the plane's references, and ask for them in the system's."""
        if not any(spec.entity == entity and spec.listing == "orders" for spec in self.manifest.reads):
            yield from self.inner.entries(entity, subjects, since)
            return
        asked = None if subjects is None else [str(self._naming.outward({ORDER: one})[ORDER]) for one in subjects]
        for page in self.inner.entries(entity, asked, since):
            yield [replace(entry, subject=self._ours(entry.subject)) for entry in page]

    def _ours(self, ref: str) -> str:
        own = OWN[ORDER_PLACED]
        return str(self._naming.inward(ORDER_PLACED, {own: ref}, self._told)[own])

    # --- what does not ---

    def close(self) -> None:
        """As the inner one does."""
        self.inner.close()

    def ping(self) -> None:
        """As the inner one does."""
        self.inner.ping()

    def settings(self) -> list[Setting]:
        """As the inner one does."""
        return self.inner.settings()

    def receive(self, inbound: Inbound) -> Record:
        """As the inner one does: what came in is kept as it came."""
        return self.inner.receive(inbound)

    def poll(self, entity: str, cursor: dict[str, object] | None) -> Iterator[Page]:
        """As the inner one does, likewise."""
        return self.inner.poll(entity, cursor)

    def consume(self) -> Feed:
        """As the inner one does, likewise."""
        return self.inner.consume()

    def waiting(self) -> Waiting:
        """As the inner one does."""
        return self.inner.waiting()

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        """As the inner one does."""
        return self.inner.snapshot(entity, keys)

    def allowance(self) -> Allowance | None:
        """As the inner one does."""
        return self.inner.allowance()


def told_by(store: Store | None, system: str) -> Told:
    """Return what says under which references the documents of a system were taken in; without a store, under none.

    What waits in quarantine was not: its reference may be the very thing that is wrong with it. An order is known by its state, too,
    which outlasts its message.
    """

    def told(message_type: str, ref: str) -> bool:
        if store is None:
            return False
        m, o = t.message.c, t.order_state.c
        said = select(m.id).where(
            m.subject == ref, m.type == message_type, m.source == system, m.state.in_(("accepted", "processed"))
        )  # fmt: skip
        state = select(o.ref).where(o.ref == ref, o.source == system)
        with store.unconfined(), store.read() as connection:
            if message_type == ORDER_PLACED and connection.execute(state).first():
                return True
            return connection.execute(said.limit(1)).first() is not None

    return told
