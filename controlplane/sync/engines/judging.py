"""What a replay would make of messages of the ledger, target by target: it reads, and changes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
from sqlalchemy import Row, select

from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError
from controlplane.store import tables as t
from controlplane.sync.engines.refused import became_of
from controlplane.sync.ledger import Message, settled
from controlplane.sync.ledger.scan import Place
from controlplane.sync.processes.contract import Work
from controlplane.sync.processes.inventory import offered_anew
from controlplane.sync.processes.latest import newest
from controlplane.sync.routing import route
from controlplane.sync.routing.owed import Owed
from controlplane.sync.routing.pauses import all_paused_for
from rules import replay
from rules.model.messages import STATE_LIKE, StockOffer
from rules.outcomes import DeliveryState, Guarantee
from rules.policy.kinds import Flow
from rules.replay import Became, Known

log = structlog.get_logger()
CORRECTED = "corrected"
_OF_DOCUMENTS = """
SELECT d.id, d.target, d.order_key, d.idempotency_key, d.state, d.fence, d.due_at
FROM {keys} delivery d ON d.idempotency_key = {key}"""
_SQLITE = {"keys": "json_each(?) k CROSS JOIN", "key": "k.value"}
_POSTGRESQL = {"keys": "jsonb_array_elements_text(%(keys)s::jsonb) k JOIN", "key": 'k.value COLLATE "C"'}


@dataclass(frozen=True, slots=True)
class Scope:
    """What is replayed."""

    id: str
    """Of the replay; what a state is sent again under."""
    flow: Flow
    target: str | None = None
    force: bool = False

    @property
    def targets(self) -> list[str]:
        """The systems that it is about."""
        mine = (one.system for one in self.flow.spec.targets if self.target in (None, one.system))
        return list(dict.fromkeys(mine))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message at one target, and what has to be written for it."""

    message_id: str
    subject: str
    target: str
    became: Became
    owed: Owed | None = None
    """The delivery to be written, or in whose way an old one is opened again."""
    delivery: Row[Any] | None = None
    """The delivery to be opened again."""
    draft: Draft | None = None
    """The message to be made instead."""
    cause: Message | None = None
    """The message that it is made of."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    message: Message
    owed: Owed


class Judge:
    """Judges messages of one scope inside one transaction. A fixed number of queries for each call, and some for each offer."""

    def __init__(self, work: Work, scope: Scope, guarantee: Callable[[str, str], Guarantee]) -> None:
        """`guarantee(target, entity)`: what the target does with the same write told twice."""
        self.work, self.scope, self._guarantee = work, scope, guarantee
        self.paused = all_paused_for(work.connection, work.clock.now())

    def judge(self, places: Sequence[Place]) -> dict[str, list[Verdict]]:
        """Return the verdicts on messages of the ledger, by message id; one that is not kept any more has none.

        One that a rule refused is judged as the message that it was replayed as since.
        """
        m = t.message.c
        query = select(t.message).where(m.id.in_([place.id for place in places])).order_by(m.accepted_at, m.id)
        rows = self.work.connection.execute(query).all()
        refused = [row.id for row in rows if row.state == "quarantined"]
        since = became_of(self.work.connection, refused) if refused else {}
        found: dict[str, list[Verdict]] = {}
        stands_for: dict[str, list[str]] = defaultdict(list)
        standing: dict[str, Row[Any]] = {}
        for row in rows:
            now = since.get(row.id, row)
            if isinstance(now, Became):
                found[row.id] = self._all(row, now)
            else:
                stands_for[now.id].append(row.id)
                standing[now.id] = now
        for message_id, verdicts in self._judged(standing.values()).items():
            for number, asked in enumerate(stands_for[message_id]):
                found[asked] = verdicts if number == 0 else [_told_once(verdict) for verdict in verdicts]
        return found

    def _judged(self, rows: Iterable[Row[Any]]) -> dict[str, list[Verdict]]:
        found: dict[str, list[Verdict]] = {}
        documents: list[_Candidate] = []
        states: list[_Candidate] = []
        for row in rows:
            if row.state != "processed":
                # what is not routed yet will be, by the targets of then; what was refused never was
                found[row.id] = self._all(row, Became.UNDER_WAY if row.state == "accepted" else Became.NEEDS_PERSON)
                continue
            candidates = self._routed(row)
            if candidates is None:
                found[row.id] = self._all(row, Became.NEEDS_PERSON)
            elif row.type in STATE_LIKE:
                states += candidates
            else:
                documents += candidates
        for verdict in [*self._documents(documents), *self._states(states)]:
            found.setdefault(verdict.message_id, []).append(verdict)
        return found

    def _all(self, row: Row[Any], became: Became) -> list[Verdict]:
        return [Verdict(row.id, row.subject, target, became) for target in self.scope.targets]

    def _routed(self, row: Row[Any]) -> list[_Candidate] | None:
        """What is owed for a message by the present targets; None where it cannot be read any more."""
        again = f":replay:{self.scope.id}" if row.type in STATE_LIKE else ""
        try:
            message = Message.of(row)
            owed = route(self.work, message, self.paused, again=again)
        except BadInputError:
            return None
        except Exception:
            log.exception("a message cannot be replayed", message=row.id)
            return None
        mine = [one for one in owed if one.row["flow"] == self.scope.flow.name]
        return [_Candidate(message, one) for one in mine if one.row["target"] in self.scope.targets]

    # --- documents ---

    def _documents(self, candidates: Sequence[_Candidate]) -> list[Verdict]:
        keys = [one.owed.row["idempotency_key"] for one in candidates]
        known = self._deliveries(keys)
        corrected = self._corrected(row.id for row in known.values() if row.state in replay.WAITS)
        forgotten = settled.asked(self.work.connection, [key for key in keys if key not in known])()
        return _once([
            _verdict(one, Became.ALREADY_DELIVERED) if key in forgotten else self._document(one, known.get(key), corrected)
            for key, one in zip(keys, candidates, strict=True)
        ])  # fmt: skip

    def _document(self, one: _Candidate, delivery: Row[Any] | None, corrected: frozenset[str]) -> Verdict:
        row = one.owed.row
        guarantee = self._guarantee(row["target"], row["entity"])
        facts = delivery and Known(DeliveryState(delivery.state), delivery.fence > 0, delivery.id in corrected)
        became = replay.document(facts, guarantee, force=self.scope.force)
        begins = replay.begins_as(guarantee, None if delivery is None else delivery.fence > 0)
        owed = Owed({**row, "state": begins.value}) if became in replay.CHANGES else None
        return replace(_verdict(one, became), owed=owed, delivery=delivery)

    def _deliveries(self, keys: Sequence[str]) -> dict[str, Row[Any]]:
        """The deliveries of documents, by key."""
        if not keys:
            return {}
        connection, listed = self.work.connection, orjson.dumps(list(keys)).decode()
        if connection.dialect.name == "postgresql":
            rows = connection.exec_driver_sql(_OF_DOCUMENTS.format(**_POSTGRESQL), {"keys": listed})
        else:
            rows = connection.exec_driver_sql(_OF_DOCUMENTS.format(**_SQLITE), (listed,))
        return {row.idempotency_key: row for row in rows}

    def _corrected(self, deliveries: Iterable[str]) -> frozenset[str]:
        ids = list(deliveries)
        if not ids:
            return frozenset()
        q = t.quarantine.c
        query = select(q.delivery_id).where(q.delivery_id.in_(ids), q.state == CORRECTED)
        return frozenset(self.work.connection.execute(query).scalars())

    # --- states ---

    def _states(self, candidates: Sequence[_Candidate]) -> list[Verdict]:
        offers = [one for one in candidates if isinstance(one.message.data, StockOffer)]
        others = [one for one in candidates if not isinstance(one.message.data, StockOffer)]
        latest = newest(self.work.connection, [one.message for one in others])
        moving = self._moving(others)
        verdicts = self._offers(offers)
        for one in others:
            place = (one.message.id, one.owed.row["target"], one.owed.row["entity"])
            became = replay.state(one.message.id in latest, place in moving)
            verdicts.append(replace(_verdict(one, became), owed=one.owed if became in replay.CHANGES else None))
        return verdicts

    def _moving(self, candidates: Sequence[_Candidate]) -> set[tuple[str, str, str]]:
        d = t.delivery.c
        ids = {one.message.id for one in candidates}
        query = select(d.message_id, d.target, d.entity).where(d.message_id.in_(ids), d.state.in_(replay.MOVING))
        return {tuple(row) for row in self.work.connection.execute(query)} if ids else set()

    def _offers(self, candidates: Sequence[_Candidate]) -> list[Verdict]:
        """What a channel ought to show is worked out anew; only the last offer of a key in this stretch asks for it."""
        last = {(one.owed.row["target"], one.message.subject): one for one in candidates}
        return [
            self._offer(one) if last[one.owed.row["target"], one.message.subject] is one
            else _verdict(one, Became.SUPERSEDED)
            for one in candidates
        ]  # fmt: skip

    def _offer(self, one: _Candidate) -> Verdict:
        drafts, waiting = offered_anew(self.work, one.message.data, f"replay:{self.scope.id}")
        if not drafts:
            return _verdict(one, Became.UNDER_WAY if waiting else Became.ALREADY_DELIVERED)
        return replace(_verdict(one, Became.SENT_AGAIN), draft=drafts[0], cause=one.message)


def _verdict(one: _Candidate, became: Became) -> Verdict:
    return Verdict(one.message.id, one.message.subject, one.owed.row["target"], became)


def _once(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """A document that several messages tell of is sent once."""
    found, taken = [], set()
    for verdict in verdicts:
        key = verdict.owed.row["idempotency_key"] if verdict.owed else None
        if key in taken:
            verdict = _held(verdict)
        elif key is not None:
            taken.add(key)
        found.append(verdict)
    return found


def _told_once(verdict: Verdict) -> Verdict:
    """What another message of the same stretch stands for already."""
    return _held(verdict) if verdict.became in replay.CHANGES else verdict


def _held(verdict: Verdict) -> Verdict:
    return replace(verdict, became=Became.UNDER_WAY, owed=None, delivery=None, draft=None, cause=None)
