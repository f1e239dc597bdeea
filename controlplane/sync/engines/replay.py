"""Send a quarantined record on its way again. It takes the same way as live traffic: same checks, limits and keys."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import RowMapping

from controlplane.clock import Clock
from controlplane.connectors import Connections
from controlplane.connectors.contract import Draft, Write
from controlplane.errors import BadInputError, ConflictError
from controlplane.registry import Registry
from controlplane.store import Store, signals
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.delivery.send import business_ref
from controlplane.sync.ledger import append, preview
from controlplane.sync.ledger.messages import checked
from controlplane.sync.ledger.translate import unreadable
from controlplane.sync.processes.contract import Work
from rules.outcomes import Result
from rules.policy.kinds import RetryPolicySpec


class Replay:
    """Replays cases of each stage."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        registry: Registry,
        connections: Connections,
        work: Callable[[Connection], Work],
    ) -> None:
        self.store = store
        self.clock = clock
        self.registry = registry
        self.connections = connections
        self.work = work

    def _case(self, case_id: str) -> RowMapping:
        with self.store.read() as connection:
            case = quarantine.get(connection, case_id)
        if case["state"] not in ("waiting", "corrected"):
            raise ConflictError(f"quarantine case '{case_id}' is {case['state']} already; nothing is left to replay")
        return case

    def preview(self, case_id: str) -> dict[str, Any]:
        """Return what a replay would make: the messages, or the payload that would be sent."""
        case = self._case(case_id)
        if case["stage"] == "delivery":
            return {"target": case["system"], "payload": _record(case)}
        drafts = self._drafts(case)
        return {"messages": [{"type": d.type, "subject": d.subject, "data": d.data} for d in drafts]}

    def replay(self, case_id: str, actor: str) -> dict[str, Any]:
        """Replay one case; return what came of it."""
        case = self._case(case_id)
        if case["stage"] == "delivery":
            return self._delivery(case, actor)
        return self._messages(case, self._drafts(case), actor)

    def _drafts(self, case: RowMapping) -> list[Draft]:
        record = _record(case)
        if case["stage"] == "intake":
            if not isinstance(record, dict) or {"topic", "body"} - record.keys():
                raise BadInputError("a corrected intake record needs `topic` and `body`, as the original has them")
            return preview(self.connections, case["system"], record["topic"], unreadable(record["body"]))
        with self.store.read() as connection:
            old = connection.execute(select(t.message).where(t.message.c.id == case["message_id"])).one()
        key = f"{old.dedupe_key}:corrected:{case['id']}"
        draft = Draft(old.type, old.subject, key, old.occurred_at, record, old.source_version)
        checked(draft)
        return [draft]

    def _messages(self, case: RowMapping, drafts: list[Draft], actor: str) -> dict[str, Any]:
        snapshot = self.registry.snapshot()
        with self.store.write() as connection:
            ids = [
                append(
                    connection, self.clock, draft, source=case["system"], registry_version=snapshot.version,
                    trace_id=secrets.token_hex(16), causation_id=case["message_id"], intake_id=case["intake_id"],
                )
                for draft in drafts
            ]  # fmt: skip
            new = [message_id for message_id in ids if message_id]
            quarantine.mark_replayed(connection, self.clock, case["id"], actor, new[0] if new else None)
        return {"messages": new, "already_known": len(ids) - len(new)}

    def _delivery(self, case: RowMapping, actor: str) -> dict[str, Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.delivery).where(t.delivery.c.id == case["delivery_id"])).one()
        payload = _record(case)
        key = row.idempotency_key
        if case["corrected"] is not None:
            self._prove_absent(row)
            key = f"{key}:r{row.fence}"
        now = self.clock.now()
        with self.store.write() as connection:
            work = self.work(connection)
            name = work.snapshot.retry_of(row.flow, row.target)
            budget = (work.snapshot.retry_policies[name].spec if name else RetryPolicySpec()).budget
            # what nobody knows whether it took effect is read back first, however it came to wait here
            state = "unknown" if row.outcome == Result.UNKNOWN and case["corrected"] is None else "pending"
            again = {
                "state": state, "due_at": now, "deadline_at": now + budget, "attempts": 0,
                "payload": payload, "idempotency_key": key,
            }  # fmt: skip
            mine = (t.delivery.c.id == row.id, t.delivery.c.state == "quarantined")
            if connection.execute(update(t.delivery).where(*mine).values(**again)).rowcount != 1:
                raise ConflictError(f"delivery {row.id} is not in quarantine any more; look at it again")
            signals.note(connection, signals.deliveries(row.target))
            quarantine.mark_replayed(connection, self.clock, case["id"], actor, row.id)
        return {"delivery": row.id, "idempotency_key": key}

    def _prove_absent(self, row: Any) -> None:
        """A corrected payload gets a new key only when reading back proves that the old one had no effect."""
        write = Write(row.entity, row.subject, row.idempotency_key, row.payload, business_ref(row.payload, row.subject))
        outcome = self.connections.get(row.target).read_back(write)
        if outcome.result is not Result.ABSENT:
            raise ConflictError(
                f"{row.target} does not prove that the first {row.entity} {row.subject} had no effect "
                f"({outcome.result}: {outcome.detail}); correct it at the target, or replay it unchanged"
            )


def _record(case: RowMapping) -> Any:
    return case["record"] if case["corrected"] is None else case["corrected"]
