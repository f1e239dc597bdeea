"""Open, correct, approve and close quarantine cases. Replaying one is the engines' business: it takes the same way as live traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from controlplane.sealing import Shield
from controlplane.store import facts, signals
from controlplane.store import tables as t
from controlplane.store.heads import promote
from controlplane.store.locks import lock_targets
from controlplane.store.text import kept
from controlplane.sync.quarantine import sealed
from controlplane.sync.quarantine.history import editors, event, events, previous_case
from controlplane.sync.quarantine.rules import CorrectionRules, PolicyRules
from controlplane.telemetry.facts import Superseded
from rules.correction import Change, Ruling, changes, gathered
from rules.ids import bounded, new_id
from rules.policy.kinds import Correction

OPEN = ("waiting", "corrected")
SUPERSEDED = "superseded by a newer state"
UNCORRECTED: dict[str, Any] = {
    "state": "waiting", "corrected": None, "corrected_sealed": None, "correction_id": None, "needs_approval": False, "approved_by": None,
    "accepted": None, "replay_at": None, "replay_by": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """Why a record waits and whom it waits for."""

    stage: str
    system: str
    flow: str
    owner: str
    reason_code: str
    reason: str
    remedy: str
    subject: str
    record: dict[str, Any]
    intake_id: str | None = None
    message_id: str | None = None
    delivery_id: str | None = None
    fault: str = ""
    """The code or field that is wrong, where there is one; cases are grouped by it."""
    money: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a correction is: which values differ from the record as it was refused, and who has to agree."""

    id: str
    state: str
    changes: Sequence[Change]
    needs_approval: bool
    approval: Sequence[str]
    """Why."""
    before: Any
    after: Any

    def told(self, shield: Shield) -> Corrected:
        """Return it as people, histories and the action log may see it."""
        changes = shield.traced_changes(self.changes, self.before, self.after)
        return replace(self, changes=changes, before=shield.traced(self.before), after=shield.traced(self.after))


def hold(connection: Connection, clock: Clock, case: Case, shield: Shield | None = None) -> str:
    """Put a record into quarantine, whole, linked to the case that it was in before; return the case's id.

    `shield`: of a record as a system told it; data of a canonical message have no field for what is personal.
    """
    now = clock.now()
    case_id = new_id(now)
    row = {name: getattr(case, name) for name in Case.__dataclass_fields__}
    row |= {name: kept(row[name]) for name in ("reason", "remedy")} | {"subject": bounded(kept(case.subject))}
    row["fault"] = kept(case.fault)[:200]
    if shield is not None:
        row["record"], row["record_sealed"] = shield.record(sealed.label(case_id), case.record)
    if case.delivery_id and case.money is None:
        d = t.delivery.c
        row["money"], row["currency"] = connection.execute(
            select(d.money, d.currency).where(d.id == case.delivery_id)
        ).one()
    before = previous_case(
        connection, intake_id=case.intake_id, message_id=case.message_id, delivery_id=case.delivery_id
    )
    connection.execute(
        insert(t.quarantine).values(id=case_id, state="waiting", opened_at=now, previous_id=before, **row)
    )
    event(connection, now, case_id, "plane", "opened", note=kept(case.reason))
    return case_id


def get(connection: Connection, case_id: str, *, lock: bool = False) -> RowMapping:
    """Return the row of a case; `lock` keeps others from changing it until the transaction ends. Raises NotFoundError."""
    query = select(t.quarantine).where(t.quarantine.c.id == case_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no quarantine case '{case_id}'; list them with GET /api/v1/quarantine")
    return row


def opened(case: RowMapping) -> RowMapping:
    """Return the case. Raises ConflictError when it is closed."""
    if case["state"] not in OPEN:
        raise ConflictError(
            f"quarantine case '{case['id']}' is {case['state']} already; only an open one can be changed"
        )
    return case


# --- correct and approve ---


def examine(
    case: Mapping[str, Any],
    record: Any,
    actor: str,
    *,
    policy: Correction | None = None,
    rules: CorrectionRules | None = None,
    worth: Decimal | None = None,
    accept: str = "",
) -> Corrected:
    """Say what a correction would be of a case as `sealed.opened` has it, changing nothing. Raises BadInputError,
    ForbiddenError; see `correct`.
    """
    try:
        after = gathered(record, case["record"])
    except ValueError as error:
        raise BadInputError(str(error)) from None
    found = changes(case["record"], after)
    known = [abs(one) for one in (case["money"], worth) if one is not None]
    ruling = Ruling()
    if found or accept:
        ruling = (rules or PolicyRules()).judge(
            dict(case), found, max(known, default=None), Correction() if policy is None else policy, actor
        )
    if ruling.refused:
        raise ForbiddenError(
            f"{', '.join(ruling.refused)} may not be corrected: the blueprint of the domain protects it; drop the record and "
            "have its source send it anew, or have `correction.protected_fields` changed"
        )
    before = case["record"] if case["corrected"] is None else case["corrected"]
    state = "corrected" if found or accept else "waiting"
    return Corrected(case["id"], state, found, bool(ruling.approval), ruling.approval, before, after)


def correct(
    connection: Connection,
    clock: Clock,
    case_id: str,
    record: Any,
    actor: str,
    shield: Shield,
    *,
    policy: Correction | None = None,
    rules: CorrectionRules | None = None,
    worth: Decimal | None = None,
    accept: str = "",
    note: str = "",
    base: Mapping[str, Any] | None = None,
) -> Corrected:
    """Keep a person's correction beside the original; nothing is sent before the replay. Return it as people may see it.

    `policy` is that of the record's domain, `worth` what the corrected record is worth, `accept` why it may pass as it
    is, `base` the case as it was when the correction was made of it. A record that says again what it said at first is not
    corrected any more.
    Raises NotFoundError, ConflictError, BadInputError, and ForbiddenError naming fields that may not be changed.
    """
    case = sealed.whole(opened(get(connection, case_id, lock=True)), shield)
    if base is not None and base["correction_id"] != case["correction_id"]:
        raise ConflictError(f"quarantine case '{case_id}' was corrected meanwhile; look at it again, then correct it")
    found = examine(case, record, actor, policy=policy, rules=rules, worth=worth, accept=accept)
    made = found.told(shield)
    accept, note = (shield.text(words, found.before, found.after) for words in (accept, note))
    why = f"a second person has to agree: {'; '.join(made.approval)}" if made.needs_approval else ""
    step = event(
        connection, clock.now(), case_id, actor, "accepted" if accept else "corrected",
        before=made.before, after=made.after, note="; ".join(part for part in (accept, note, why) if part),
    )  # fmt: skip
    values = dict(UNCORRECTED)
    if made.state == "corrected":
        values |= {
            "state": made.state, "correction_id": step,
            "needs_approval": made.needs_approval, "accepted": accept or None,
        }  # fmt: skip
        values["corrected"], values["corrected_sealed"] = shield.record(sealed.label(case_id, step), found.after)
    connection.execute(update(t.quarantine).where(t.quarantine.c.id == case_id).values(**values))
    audit.record(
        connection, clock, actor=actor, action="quarantine.accept" if accept else "quarantine.correct",
        subject=f"quarantine/{case_id}", reason=accept or note,
        before={"record": made.before}, after={"record": made.after},
    )  # fmt: skip
    return made


def approve(
    connection: Connection,
    clock: Clock,
    case_id: str,
    actor: str,
    *,
    rules: CorrectionRules | None = None,
    correction_id: str | None = None,
    note: str = "",
) -> None:
    """Agree to a correction. `correction_id`: the one that was looked at, so that nobody agrees to what they have not seen.

    Raises NotFoundError, ConflictError, and ForbiddenError for those who edited it.
    """
    case = opened(get(connection, case_id, lock=True))
    if not case["needs_approval"] or case["approved_by"]:
        raise ConflictError(f"quarantine case '{case_id}' waits for nobody's approval; replay it")
    if correction_id is not None and correction_id != case["correction_id"]:
        raise ConflictError(f"quarantine case '{case_id}' was corrected anew meanwhile; look at it again, then decide")
    refused = (rules or PolicyRules()).may_approve(dict(case), actor, editors(connection, case_id))
    if refused:
        raise ForbiddenError(refused)
    connection.execute(update(t.quarantine).where(t.quarantine.c.id == case_id).values(approved_by=actor))
    event(connection, clock.now(), case_id, actor, "approved", note=note)
    audit.record(
        connection, clock, actor=actor, action="quarantine.approve", subject=f"quarantine/{case_id}", reason=note
    )


def ask_approval(connection: Connection, clock: Clock, case_id: str, why: str) -> None:
    """Note that a correction takes a second person after all, as became known only now."""
    mine = update(t.quarantine).where(t.quarantine.c.id == case_id, t.quarantine.c.approved_by.is_(None))
    connection.execute(mine.values(needs_approval=True, replay_at=None, replay_by=None))
    event(connection, clock.now(), case_id, "plane", "refused", note=f"a second person has to agree: {why}")


def agreed(case: RowMapping) -> RowMapping:
    """Return the case. Raises ConflictError while a second person has to agree to its correction."""
    if case["needs_approval"] and not case["approved_by"]:
        raise ConflictError(
            f"the correction of quarantine case '{case['id']}' takes a second person; have somebody who did not edit it "
            f"approve it: POST /api/v1/quarantine/{case['id']}/approve"
        )
    return case


# --- replay later ---


def schedule(connection: Connection, clock: Clock, due: Sequence[tuple[str, datetime]], actor: str) -> int:
    """Note when each of these cases (id, instant) is to be replayed; return how many were open and not asked for yet."""
    q = t.quarantine.c
    mine = update(t.quarantine).where(q.id == bindparam("i"), q.state.in_(OPEN), q.replay_at.is_(None))
    taken = [
        case_id
        for case_id, at in due
        if connection.execute(mine.values(replay_at=at, replay_by=actor), {"i": case_id}).rowcount
    ]
    events(connection, clock.now(), taken, actor, "scheduled", "")
    signals.note(connection, signals.QUARANTINE)
    return len(taken)


def unschedule(connection: Connection, clock: Clock, case_id: str, kind: str, note: str) -> None:
    """Take a case's asked-for replay back and say why; it waits for a person again."""
    connection.execute(update(t.quarantine).where(t.quarantine.c.id == case_id).values(replay_at=None, replay_by=None))
    event(connection, clock.now(), case_id, "plane", kind, note=note)


def postpone(connection: Connection, case_ids: Iterable[str], until: datetime) -> None:
    """Let asked-for replays wait until then."""
    q = t.quarantine.c
    mine = update(t.quarantine).where(q.id.in_(list(case_ids)), q.replay_at.is_not(None))
    connection.execute(mine.values(replay_at=until))


# --- close ---


def _close(connection: Connection, case: RowMapping, clock: Clock, state: str, by: str, **values: Any) -> None:
    q = t.quarantine.c
    where = (q.id == case["id"], q.state.in_(OPEN), q.correction_id.is_not_distinct_from(case["correction_id"]))
    ended = {"state": state, "closed_at": clock.now(), "closed_by": by, "replay_at": None, "replay_by": None}
    mine = update(t.quarantine).where(*where)
    if state == "replayed":
        mine = mine.where(or_(q.needs_approval.is_(False), q.approved_by.is_not(None)))
    if connection.execute(mine.values(**(ended | values))).rowcount != 1:
        opened(get(connection, case["id"]))
        raise ConflictError(f"quarantine case '{case['id']}' was corrected meanwhile; look at it again, then decide")


def mark_replayed(connection: Connection, clock: Clock, case: RowMapping, actor: str, replayed_as: str | None) -> None:
    """Close a case, a row as it was read, whose record went on its way. Raises ConflictError when somebody was faster."""
    _close(connection, case, clock, "replayed", actor, replayed_as=replayed_as)
    event(
        connection,
        clock.now(),
        case["id"],
        actor,
        "replayed",
        note=f"as {replayed_as}" if replayed_as else "known already",
    )
    audit.record(
        connection, clock, actor=actor, action="quarantine.replay", subject=f"quarantine/{case['id']}",
        after={"replayed_as": replayed_as},
    )  # fmt: skip


def drop(connection: Connection, clock: Clock, case_id: str, actor: str, reason: str) -> None:
    """Decide that a record is not owed any more. Raises NotFoundError, ConflictError."""
    case = opened(get(connection, case_id, lock=True))
    _close(connection, case, clock, "dropped", actor)
    _end_delivery(connection, clock, case, "dropped")
    event(connection, clock.now(), case_id, actor, "dropped", note=reason)
    audit.record(
        connection, clock, actor=actor, action="quarantine.drop", subject=f"quarantine/{case_id}", reason=reason
    )


def mark_reopened(connection: Connection, clock: Clock, delivery_ids: Sequence[str], actor: str, replay_id: str) -> int:
    """Close the cases of deliveries that a replay from the ledger sends on their way again; return how many.

    A case that a person had dropped is closed as replayed too: what was decided before stays in the action log.
    """
    q = t.quarantine.c
    left = (q.delivery_id.in_(delivery_ids), q.state.in_(("waiting", "dropped")))
    cases = connection.execute(select(q.id, q.delivery_id, q.state, q.closed_by).where(*left).order_by(q.id)).all()
    if cases:
        closed = update(t.quarantine).where(q.id == bindparam("case"))
        values = {"state": "replayed", "closed_at": clock.now(), "closed_by": actor}
        rows = [{"case": case.id, "as_": case.delivery_id} for case in cases]
        connection.execute(closed.values(**values, replayed_as=bindparam("as_")), rows)
        told = [
            audit.Told(
                actor, "quarantine.replay", f"quarantine/{case.id}",
                before={"state": case.state, "closed_by": case.closed_by},
                after={"replayed_as": case.delivery_id, "replay": replay_id},
            )
            for case in cases
        ]  # fmt: skip
        audit.record_all(connection, clock, told)
        events(connection, clock.now(), [case.id for case in cases], actor, "replayed", f"by the replay {replay_id}")
    return len(cases)


def supersede(connection: Connection, clock: Clock, case: RowMapping, actor: str, by: str) -> None:
    """Close a case whose state a newer one has overtaken. `by` says which. Raises ConflictError when somebody was faster."""
    _close(connection, case, clock, "dropped", SUPERSEDED)
    _end_delivery(connection, clock, case, "superseded")
    if case["delivery_id"]:
        facts.note(connection, Superseded(case["system"], 1))
    event(connection, clock.now(), case["id"], actor, "superseded", note=by)
    audit.record(
        connection, clock, actor=actor, action="quarantine.supersede", subject=f"quarantine/{case['id']}", reason=by
    )


def _end_delivery(connection: Connection, clock: Clock, case: RowMapping, state: str) -> None:
    if not case["delivery_id"]:
        return
    lock_targets(connection, [case["system"]], alone=False)
    owed = (t.delivery.c.id == case["delivery_id"], t.delivery.c.state == "quarantined")
    ended = update(t.delivery).where(*owed).values(state=state, finished_at=clock.now())
    for key in connection.execute(ended.returning(t.delivery.c.order_key)).scalars().all():
        promote(connection, case["system"], [key])
    signals.note(connection, signals.deliveries(case["system"]))


def overtaken(connection: Connection, now: datetime, delivery_ids: Sequence[str]) -> None:
    """Close the cases of deliveries in whose place a newer state was routed."""
    q = t.quarantine.c
    mine = update(t.quarantine).where(q.delivery_id.in_(delivery_ids), q.state.in_(OPEN))
    ended = {"state": "dropped", "closed_at": now, "closed_by": SUPERSEDED, "replay_at": None, "replay_by": None}
    ids = connection.execute(mine.values(**ended).returning(q.id)).scalars().all()
    events(connection, now, ids, "plane", "superseded", "a newer state of the same key was routed")
