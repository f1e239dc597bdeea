"""Send messages again from the ledger, of a flow, a key or a stretch of time: what an outage kept from its targets.

People begin and end replays here, and the ticker lets them go on, a bounded share of each second. What one transaction does
stands in `stretches`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from controlplane import audit
from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.errors import BadInputError, ConflictError, NotFoundError, TrueupError
from controlplane.registry import Registry, Snapshot
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.locks import lock_books
from controlplane.sync.delivery.claim import count_due
from controlplane.sync.engines.judging import Judge, Scope, Verdict
from controlplane.sync.engines.stretches import CHUNK, Counts, count, end, row_of, some, wanted_of
from controlplane.sync.ledger.scan import Wanted, stretch
from controlplane.sync.processes.contract import Work
from rules import replay as rule
from rules.ids import new_id
from rules.outcomes import Guarantee
from rules.policy.kinds import Flow
from rules.replay import Became

TICK = 0.25
"""Wall seconds of each second of the ticker that a replay may take."""
PREVIEW = 5.0
"""Wall seconds after which a preview stops and says so."""
RATE = 20.0
"""Deliveries a second to a target whose policy sets no rate."""
BACKLOG = 10
"""A replay adds nothing while more than this, and than two seconds' worth, is due at a target: live traffic comes first."""
SHOWN = 50
"""Keys that a preview lists."""
_TOLD = ("flow", "subject", "target", "since", "until", "rate", "force")
_WORTH_SHOWING = rule.CHANGES | {Became.NEEDS_PERSON}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks to be replayed: messages of the flow accepted in [since, until), of one subject if it is given."""

    flow: str
    since: datetime
    until: datetime
    reason: str
    subject: str | None = None
    target: str | None = None
    rate: float | None = None
    """Deliveries a second to each target; None: the least that the targets' policies allow."""
    force: bool = False


class Reprocessing:
    """Replays from the ledger. Several processes may advance the same one: each stretch counts once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        registry: Registry,
        connections: Connections,
        work: Callable[[Connection], Work],
    ) -> None:
        self.store, self.clock, self.registry, self.connections, self.work = store, clock, registry, connections, work

    # --- what people ask for ---

    def start(self, asked: Request, actor: str) -> str:
        """Begin a replay; return its id. Raises NotFoundError, BadInputError, ConflictError."""
        flow, now = self._flow(asked), self.clock.now()
        row: dict[str, Any] = {
            "id": new_id(now), "flow": flow.name, "subject": asked.subject, "target": asked.target,
            "since": asked.since, "until": min(asked.until, now), "rate": asked.rate or self._rate(flow, asked.target),
            "force": asked.force, "state": "running", "counts": {}, "asked_by": actor, "asked_at": now,
            "reason": asked.reason,
        }  # fmt: skip
        with self.store.write() as connection:
            lock_books(connection)
            r = t.replay.c
            other = connection.execute(select(r.id).where(r.state == "running", r.flow == flow.name)).scalars().first()
            if other is not None:
                raise ConflictError(f"replay {other} of the flow '{flow.name}' is running; wait for it, or cancel it")
            connection.execute(insert(t.replay).values(**row))
            audit.record(
                connection, self.clock, actor=actor, action="replay.start", subject=f"replay/{row['id']}",
                reason=asked.reason, after={name: row[name] for name in _TOLD},
            )  # fmt: skip
        return str(row["id"])

    def cancel(self, replay_id: str, actor: str, reason: str) -> None:
        """Add nothing more; what was added is owed. Raises NotFoundError, ConflictError when it has ended."""
        with self.store.write() as connection:
            lock_books(connection)
            row = row_of(connection, replay_id)
            if row is None:
                raise NotFoundError(f"no replay '{replay_id}'; list them with GET /api/v1/replays")
            if row.state != "running":
                raise ConflictError(f"replay '{replay_id}' is {row.state}; only a running one can be cancelled")
            end(connection, self.clock, replay_id, actor, reason)

    def preview(self, asked: Request) -> dict[str, Any]:
        """Return what a replay would change, changing nothing: counts by target and outcome, and the first keys.

        `complete` is false where the stretch is so long that only its beginning was looked at. Raises like `start`.
        """
        flow = self._flow(asked)
        wanted = wanted_of(flow, asked.since, min(asked.until, self.clock.now()), asked.subject)
        with self.store.read() as connection:
            judge = Judge(self.work(connection), Scope("preview", flow, asked.target, asked.force), self.guarantee)
            return self._looked_through(judge, wanted)

    def _looked_through(self, judge: Judge, wanted: Wanted) -> dict[str, Any]:
        counts: Counts = {}
        keys: list[dict[str, str]] = []
        place, looked_at, began = None, 0, self.clock.stopwatch()
        while not self._over(began, PREVIEW):
            found = stretch(judge.work.connection, wanted, place, CHUNK)
            if found.last is None:
                return {"looked_at": looked_at, "complete": True, "counts": counts, "keys": keys}
            verdicts = [verdict for each in judge.judge(found.places).values() for verdict in each]
            count(counts, verdicts)
            keys += [_key(one) for one in verdicts if one.became in _WORTH_SHOWING][: SHOWN - len(keys)]
            place, looked_at = found.last, looked_at + len(found.places)
        return {"looked_at": looked_at, "complete": False, "counts": counts, "keys": keys}

    # --- what the ticker calls ---

    def running(self) -> list[str]:
        """Return the ids of the replays that are not finished, the oldest first."""
        r = t.replay.c
        with self.store.read() as connection:
            return list(connection.execute(select(r.id).where(r.state == "running").order_by(r.id)).scalars())

    def advance(self) -> dict[str, int]:
        """Go on with each running replay for a moment; return replay id -> messages that it looked at."""
        return {replay_id: self.advance_one(replay_id) for replay_id in self.running()}

    def advance_one(self, replay_id: str) -> int:
        """Go on with one replay until it ends, enough is written ahead, or its share of this second is used up."""
        began, looked_at = self.clock.stopwatch(), 0
        while True:
            with self.store.read() as connection:
                row = row_of(connection, replay_id)
                snapshot = self.registry.snapshot_in(connection)
                if row is None or row.state != "running" or held_by(connection, self.clock.now(), snapshot, row):
                    break
            came_to = some(self.store, self.clock, row, snapshot.flows.get(row.flow), self.work, self.guarantee)
            looked_at += came_to.looked_at
            if not came_to.goes_on or self._over(began, TICK):
                break
        return looked_at

    # --- what policy says ---

    def _flow(self, asked: Request) -> Flow:
        """Return the flow of a request that makes sense. Raises NotFoundError, BadInputError."""
        flows = self.registry.snapshot().flows
        if asked.flow not in flows:
            raise NotFoundError(f"no flow '{asked.flow}' in the registry; there are: {', '.join(flows) or 'none'}")
        flow = flows[asked.flow]
        targets = [one.system for one in flow.spec.targets]
        if not targets:
            raise BadInputError(
                f"the flow '{flow.name}' has no targets, so nothing of it is sent; replay the flow that carries what the "
                "plane makes of its messages"
            )
        if asked.target is not None and asked.target not in targets:
            raise BadInputError(f"the flow '{flow.name}' has no target '{asked.target}'; it has: {', '.join(targets)}")
        if asked.since >= min(asked.until, self.clock.now()):
            raise BadInputError(
                f"nothing was accepted from {asked.since.isoformat()} to {asked.until.isoformat()}: give `since` before "
                "`until`, and in the past"
            )
        if asked.rate is not None and not asked.rate > 0:
            raise BadInputError(f"a rate of {asked.rate} sends nothing; give deliveries a second, for instance 5")
        return flow

    def _rate(self, flow: Flow, target: str | None) -> float:
        systems = self.registry.snapshot().systems
        named = [one.system for one in flow.spec.targets if target in (None, one.system)]
        return min((systems[name].spec.rate if name in systems else None) or RATE for name in named)

    def guarantee(self, target: str, entity: str) -> Guarantee:
        """What the target does with the same write told twice; of one that cannot be asked, the worst is believed."""
        try:
            connector = self.connections.get(target, self.registry.known())
            return connector.manifest.write_spec(entity).guarantee
        except TrueupError:
            return Guarantee.NONE

    def _over(self, began: float, seconds: float) -> bool:
        return (self.clock.stopwatch() - began) * self.clock.pace > seconds


def held_by(connection: Connection, now: datetime, snapshot: Snapshot, row: Row[Any]) -> list[str]:
    """Return the targets that have more due of a replay's flow than they are being sent: it waits for them."""
    flow = snapshot.flows.get(row.flow)
    targets = Scope(row.id, flow, row.target).targets if flow else []
    most = max(BACKLOG, int(2 * row.rate))
    return [target for target in targets if count_due(connection, target, row.flow, now, most + 1) > most]


def _key(verdict: Verdict) -> dict[str, str]:
    return {
        "subject": verdict.subject, "target": verdict.target, "outcome": verdict.became.value,
        "message": verdict.message_id,
    }  # fmt: skip
