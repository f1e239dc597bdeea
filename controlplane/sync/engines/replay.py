"""Send a quarantined record on its way again. It takes the same way as live traffic: same checks, limits and keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update
from sqlalchemy.engine import RowMapping

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft
from controlplane.errors import BadInputError, ConflictError
from controlplane.registry import Registry
from controlplane.sealing import Shield
from controlplane.store import Store, signals
from controlplane.store import tables as t
from controlplane.store.heads import promote
from controlplane.store.locks import lock_targets
from controlplane.sync import quarantine
from controlplane.sync.delivery import systems
from controlplane.sync.engines.proof import prove_absent, replayed_in_doubt
from controlplane.sync.engines.rehearsal import at_target, rehearse, unseen
from controlplane.sync.ledger import append, preview
from controlplane.sync.ledger.messages import checked, read
from controlplane.sync.ledger.translate import unreadable
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing.pauses import all_paused_for
from controlplane.telemetry.facts import Origin
from rules.ids import bounded
from rules.model.messages import STATE_LIKE, subject_of, worth_of
from rules.policy.kinds import RetryPolicySpec

PAUSED = timedelta(seconds=10)
"""After which it is looked again whether a system is still paused."""
REPLAYED = Origin("replay")


class Replay:
    """Replays cases of each stage, one at a time."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        registry: Registry,
        connections: Connections,
        work: Callable[[Connection], Work],
        shield: Callable[[str], Shield],
    ) -> None:
        self.store = store
        self.clock = clock
        self.registry = registry
        self.connections = connections
        self.work = work
        self.shield = shield

    def _case(self, case_id: str) -> RowMapping:
        with self.store.read() as connection:
            return quarantine.opened(quarantine.get(connection, case_id))

    def _record(self, case: RowMapping) -> Any:
        """Return the record as it stands, whole. Raises SealError, KeyMissingError."""
        return record_of(quarantine.sealed.whole(case, self.shield(case["system"])))

    def preview(self, case_id: str) -> dict[str, Any]:
        """Return what a replay would do, changing nothing. Raises like `replay`, but for the approval that it may wait for.

        Of a delivery: `payload`, what the target `shows` now, and both field by field. Of a record before that: its
        `messages`, those that `follow`, the `deliveries`, and what would be `held`. `superseded_by`: it would be dropped.
        """
        case = self._case(case_id)
        waits = {"needs_approval": case["needs_approval"] and not case["approved_by"]}
        if case["stage"] == "delivery":
            return waits | self._preview_delivery(case)
        drafts = self.drafts(case)
        with self.store.read() as connection:
            newer = [self._newer_message(connection, case, draft) for draft in drafts]
        fresh = [draft for draft, by in zip(drafts, newer, strict=True) if by is None]
        told = [
            {"type": d.type, "subject": d.subject, "data": d.data, "superseded_by": by}
            for d, by in zip(drafts, newer, strict=True)
        ]
        dropped = newer[0] if drafts and not fresh else None
        return {
            **waits,
            "messages": told,
            "superseded_by": dropped,
            **rehearse(self.store, self.work, dict(case), fresh),
        }

    def _preview_delivery(self, case: RowMapping) -> dict[str, Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.delivery).where(t.delivery.c.id == case["delivery_id"])).one()
            newer, wait = self._newer_delivery(connection, row), self.waits(connection, row.target)
        payload = self._record(case)
        if wait is None:
            seen = at_target(self.connections.get(row.target), row, case["record"], payload)
        else:
            seen = unseen(case["record"], payload, f"{row.target} is not asked anything before {wait.isoformat()}")
        known = {"target": row.target, "entity": row.entity, "subject": row.subject, "payload": payload}
        return {**known, "superseded_by": newer, **seen}

    def waits(self, connection: Connection, system: str) -> datetime | None:
        """Return until when nothing is sent to a system because it is paused or asks to wait; None when it takes requests."""
        state, now = systems.state_of(connection, system), self.clock.now()
        if state is None:
            return None
        if state.paused_at:
            return now + PAUSED
        return state.blocked_until if state.blocked_until and state.blocked_until > now else None

    def replay(self, case_id: str, actor: str) -> dict[str, Any]:
        """Replay one case; return what came of it. A state that a newer one has overtaken is dropped instead.

        Raises NotFoundError, BadInputError, and ConflictError when it is closed, waits for an approval, or may have taken effect.
        """
        case = quarantine.agreed(self._case(case_id))
        if case["stage"] == "delivery":
            return self._delivery(case, actor)
        return self._messages(case, self.drafts(case), actor)

    # --- records that became no delivery ---

    def drafts(self, case: RowMapping, record: Any = None) -> list[Draft]:
        """Return the messages that a case's record (or another in its place) makes. Raises BadInputError, ConnectorError."""
        record = self._record(case) if record is None else record
        if case["stage"] == "intake":
            if not isinstance(record, dict) or {"topic", "body"} - record.keys():
                raise BadInputError("a corrected intake record needs `topic` and `body`, as the original has them")
            body, snapshot = unreadable(record["body"]), self.registry.snapshot()
            return preview(
                self.connections, snapshot, self.shield(case["system"]), case["system"], record["topic"], body,
                case["intake_id"],
            )  # fmt: skip
        with self.store.read() as connection:
            old = connection.execute(select(t.message).where(t.message.c.id == case["message_id"])).one()
        draft = Draft(
            old.type, _subject(old, record), f"replay:{case['id']}", old.occurred_at, record, old.source_version
        )
        checked(draft)
        return [draft]

    def _messages(self, case: RowMapping, drafts: list[Draft], actor: str) -> dict[str, Any]:
        self._within_limit(case, drafts)
        snapshot = self.registry.snapshot()
        with self.store.write() as connection:
            newer = [self._newer_message(connection, case, draft) for draft in drafts]
            if drafts and all(newer):
                return self._supersede(connection, case, actor, f"message {newer[0]} is newer")
            ids = [
                append(
                    connection, self.clock, draft, source=case["system"], registry_version=snapshot.version,
                    trace_id=secrets.token_hex(16), causation_id=case["message_id"], intake_id=self._intake(connection, case),
                    origin=REPLAYED,
                )
                for draft, by in zip(drafts, newer, strict=True) if by is None
            ]  # fmt: skip
            new = [message_id for message_id in ids if message_id]
            quarantine.mark_replayed(connection, self.clock, case, actor, new[0] if new else None)
        return {"state": "replayed", "messages": new, "already_known": len(ids) - len(new)}

    def _intake(self, connection: Connection, case: RowMapping) -> str | None:
        """What the record came in with; a message that is replayed keeps it."""
        if case["intake_id"] or not case["message_id"]:
            return case["intake_id"]  # type: ignore[no-any-return]
        return connection.execute(select(t.message.c.intake_id).where(t.message.c.id == case["message_id"])).scalar()

    def _newer_message(self, connection: Connection, case: RowMapping, draft: Draft) -> str | None:
        """Return the processed message that tells a newer state of the draft's subject, if there is one."""
        if draft.type not in STATE_LIKE:
            return None
        m = t.message.c
        later = or_(
            m.occurred_at > draft.occurred_at,
            and_(m.occurred_at == draft.occurred_at, m.accepted_at > case["opened_at"]),
        )
        source = draft.source or case["system"]
        same = (m.subject == draft.subject, m.type == draft.type, m.source == source, m.state == "processed")
        return connection.execute(select(m.id).where(*same, later).order_by(m.id.desc()).limit(1)).scalar()

    def _within_limit(self, case: RowMapping, drafts: Sequence[Draft]) -> None:
        """What a corrected record is worth may be known only now that it is understood: policy may want a second person."""
        limit = self.registry.snapshot().correction_of(case["flow"]).approve_above
        if limit is None or case["corrected"] is None or case["approved_by"]:
            return
        worth = max((abs(found[0]) for draft in drafts if (found := worth_of(checked(draft)))), default=None)
        if worth is None or worth <= limit:
            return
        with self.store.write() as connection:
            quarantine.ask_approval(connection, self.clock, case["id"], f"it is worth {worth}, more than {limit}")
        raise ConflictError(
            f"quarantine case '{case['id']}' is worth {worth}, and a correction above {limit} takes a second person; have "
            f"somebody approve it: POST /api/v1/quarantine/{case['id']}/approve"
        )

    def _supersede(self, connection: Connection, case: RowMapping, actor: str, by: str) -> dict[str, Any]:
        quarantine.supersede(connection, self.clock, case, actor, by)
        return {"state": "dropped", "superseded": by}

    # --- deliveries ---

    def _delivery(self, case: RowMapping, actor: str) -> dict[str, Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.delivery).where(t.delivery.c.id == case["delivery_id"])).one()
            newer = self._newer_delivery(connection, row)
        payload, key = self._record(case), row.sent_key or row.idempotency_key
        if case["corrected"] is not None and newer is None:
            prove_absent(self.store, self.clock, self.connections, case_id=case["id"], row=row)
            key = bounded(f"{row.idempotency_key}:r{row.fence}")
        with self.store.write() as connection:
            quarantine.opened(quarantine.get(connection, case["id"], lock=True))  # before its target, as who drops it
            lock_targets(connection, [row.target], alone=False)
            newer = self._newer_delivery(connection, row)
            if newer:
                return self._supersede(connection, case, actor, f"delivery {newer} is newer")
            self._reopen(connection, case, row, payload, key)
            quarantine.mark_replayed(connection, self.clock, case, actor, row.id)
        return {"state": "replayed", "delivery": row.id, "idempotency_key": key}

    def _reopen(self, connection: Connection, case: RowMapping, row: Row[Any], payload: Any, key: str) -> None:
        now, work = self.clock.now(), self.work(connection)
        name = work.snapshot.retry_of(row.flow, row.target)
        budget = (work.snapshot.retry_policies[name].spec if name else RetryPolicySpec()).budget
        paused = all_paused_for(connection, now)
        # what may have taken effect is read back first, however it came to wait here, and not while it may take effect yet
        unknown = case["corrected"] is None and replayed_in_doubt(connection, self.connections, row)
        due = max(now, row.due_at) if unknown else now
        again = {
            "state": "unknown" if unknown else "pending", "due_at": due, "deadline_at": due + budget, "attempts": 0, "payload": payload,
            "pause_base": paused.get(f"system/{row.target}", 0) + paused.get(f"flow/{row.flow}", 0),
            "sent_key": key if key != row.idempotency_key else None,
        }  # fmt: skip
        mine = (t.delivery.c.id == row.id, t.delivery.c.state == "quarantined")
        if connection.execute(update(t.delivery).where(*mine).values(**again)).rowcount != 1:
            raise ConflictError(f"delivery {row.id} is not in quarantine any more; look at it again")
        promote(connection, row.target, [row.order_key])
        signals.note(connection, signals.deliveries(row.target))

    def _newer_delivery(self, connection: Connection, row: Row[Any]) -> str | None:
        """Return the delivery of a newer state to the same place, if there is one."""
        if not row.coalesce:
            return None
        d = t.delivery.c
        same = (d.target == row.target, d.order_key == row.order_key, d.entity == row.entity, d.coalesce)
        query = select(d.id).where(*same, d.id > row.id, d.state != "dropped").order_by(d.id.desc()).limit(1)
        return connection.execute(query).scalar()


def record_of(case: Mapping[str, Any] | RowMapping) -> Any:
    """Return the record as it stands: corrected, or as it was refused."""
    return case["record"] if case["corrected"] is None else case["corrected"]


def _subject(old: Row[Any], record: Any) -> str:
    """Return what a corrected message is about: the key that its data now speaks of, where the old one did the same."""
    try:
        same = subject_of(read(old.type, old.data, old.schema_version)) == old.subject
    except BadInputError:
        same = False
    return subject_of(read(old.type, record)) if same else str(old.subject)
