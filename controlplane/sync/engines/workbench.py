"""What people do with records that wait: correct, look, let go again at a pace, or drop; one of them or many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import OperationalError

from controlplane import audit
from controlplane.clock import Clock
from controlplane.errors import (
    BadInputError,
    ConnectorError,
    KeyMissingError,
    NotFoundError,
    RejectedError,
    TrueupError,
)
from controlplane.registry import Registry
from controlplane.sealing import Shield
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync import quarantine
from controlplane.sync.engines.proof import TooEarlyError
from controlplane.sync.engines.replay import Replay, record_of
from controlplane.sync.ledger.messages import read
from controlplane.sync.processes.checks import INACTIVE
from controlplane.sync.quarantine import Corrected, CorrectionRules, Selection
from controlplane.sync.quarantine.selection import MOST
from rules.correction import edited
from rules.model.messages import Data, subject_of, worth_of
from rules.personal import stands_for

log = structlog.get_logger()
RATE = 5.0
"""Records a second that a replay of many lets go, where the System names no rate."""
AT_ONCE = 20
"""Asked-for replays that one turn makes."""
LATE = 500
"""Those of a target that is paused or asks to wait that one turn puts off; they take no place of the others'."""
LOOKS = 20
"""Cases of a selection that are rehearsed at once; each may ask its target."""
AGAIN = timedelta(seconds=30)
"""When a replay is tried again that needs a system which did not answer."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be changed: the whole record, or values at paths; or nothing, and it passes as it is (`accept`: why)."""

    record: Any = None
    put: Mapping[str, Any] | None = None
    remove: Sequence[str] = ()
    accept: str = ""
    note: str = ""

    def of(self, case: Mapping[str, Any], seen: RowMapping, shield: Shield) -> Any:
        """Return the record as it ought to be, of a case as it is and as a person sees it. Raises BadInputError."""
        present = record_of(case)
        if self.record is not None:
            found = shield.given_back(self.record, record_of(seen), present)
        else:
            for path, value in (self.put or {}).items():
                if stands_for(value):
                    raise BadInputError(
                        f"{path}: '{value}' stands for a value that is not shown; write a new value, or leave it"
                    )
            try:
                found = edited(present, self.put or {}, self.remove)
            except ValueError as error:
                raise BadInputError(str(error)) from None
        if not isinstance(found, dict):
            raise BadInputError(
                "a corrected record is a JSON object, whole, as the original is; correct its fields only"
            )
        return found


class Workbench:
    """The cases of one plane. Rights are checked by who calls; what policy says of corrections is checked here."""

    def __init__(
        self, store: Store, clock: Clock, registry: Registry, replay: Replay, shield: Callable[[str], Shield],
        rules: CorrectionRules | None = None,
    ) -> None:  # fmt: skip
        """`shield`: what hides and opens the personal fields of a system's records. `rules`: who may change what, and when it
        takes a second person; by default what the blueprints say.
        """
        self.store, self.clock, self.registry, self.one, self.rules = store, clock, registry, replay, rules
        self.shield = shield

    # --- correct ---

    def correct(self, case_id: str, edit: Edit, actor: str) -> Corrected:
        """Correct one record. Raises NotFoundError, ConflictError, BadInputError, ForbiddenError."""
        case, record, asked = self._asked(case_id, edit)
        self._examined(case, record, actor, asked)
        shield = self.shield(case["system"])
        with self.store.write() as connection:
            return quarantine.correct(
                connection, self.clock, case_id, record, actor, shield, note=edit.note, base=case, **asked
            )

    def examine(self, case_id: str, edit: Edit, actor: str) -> Corrected:
        """Say what a correction would be, changing nothing. Raises like `correct`."""
        case, record, asked = self._asked(case_id, edit)
        return self._examined(case, record, actor, asked).told(self.shield(case["system"]))

    def _examined(self, case: Mapping[str, Any], record: Any, actor: str, asked: dict[str, Any]) -> Corrected:
        made = quarantine.examine(case, record, actor, **asked)
        data = self._read(case, record) if case["stage"] == "delivery" else None
        if data is not None and subject_of(data) != self._subject(case):
            raise BadInputError(
                f"the delivery is about {case['subject']}, and the corrected record about {subject_of(data)}; drop it, and "
                "have the source send the other"
            )
        return made

    def _asked(self, case_id: str, edit: Edit) -> tuple[Mapping[str, Any], Any, dict[str, Any]]:
        with self.store.read() as connection:
            seen = quarantine.opened(quarantine.get(connection, case_id))
        shield = self.shield(seen["system"])
        case = quarantine.sealed.whole(seen, shield)
        if edit.accept and case["reason_code"] != INACTIVE:
            raise BadInputError(
                f"only what waits as {INACTIVE} can pass as it is, and this is {case['reason_code']}; correct it, or drop it"
            )
        record = edit.of(case, seen, shield)
        data = self._read(case, record)
        worth = worth_of(data) if data is not None else None
        policy = self.registry.snapshot().correction_of(case["flow"])
        return case, record, {
            "policy": policy, "rules": self.rules, "worth": worth[0] if worth else None, "accept": edit.accept,
        }  # fmt: skip

    def _read(self, case: Mapping[str, Any], record: Any) -> Data | None:
        """Return the record as typed data, where it is canonical already. Raises BadInputError when it breaks the schema."""
        if case["message_id"] is None:
            return None
        with self.store.read() as connection:
            kind = connection.execute(select(t.message.c.type).where(t.message.c.id == case["message_id"])).scalar_one()
        return read(kind, record)

    def _subject(self, case: Mapping[str, Any]) -> str:
        data = self._read(case, case["record"])
        return subject_of(data) if data is not None else str(case["subject"])

    def correct_many(self, selection: Selection, edit: Edit, actor: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Correct each of the selected records the same way; what one refuses does not keep the others from it."""
        if edit.record is not None:
            raise BadInputError("several records are not replaced by one; say which values to `set`, or to `remove`")
        act = self.examine if dry_run else self.correct
        return self._each(selection, lambda case_id: {"corrected": _told(act(case_id, edit, actor))})

    def unseal(self, case_id: str, actor: str, reason: str) -> dict[str, Any]:
        """Return a case's record and correction as they are. That they were shown, to whom and why, is in the action log first.

        Raises NotFoundError, SealError, KeyMissingError.
        """
        with self.store.read() as connection:
            case = quarantine.get(connection, case_id)
        found = quarantine.sealed.whole(case, self.shield(case["system"]))
        with self.store.write() as connection:
            audit.record(
                connection, self.clock, actor=actor, action="quarantine.unseal", subject=f"quarantine/{case_id}",
                reason=reason,
            )  # fmt: skip
        return {name: found[name] for name in ("id", "record", "corrected")}

    def approve(self, case_id: str, actor: str, correction_id: str | None = None, note: str = "") -> None:
        """Agree to somebody else's correction. Raises NotFoundError, ConflictError, ForbiddenError."""
        with self.store.write() as connection:
            quarantine.approve(
                connection, self.clock, case_id, actor, rules=self.rules, correction_id=correction_id, note=note
            )

    def drop_many(self, selection: Selection, actor: str, reason: str) -> dict[str, Any]:
        """Decide of each of the selected records that it is not owed any more."""

        def drop(case_id: str) -> dict[str, Any]:
            with self.store.write() as connection:
                quarantine.drop(connection, self.clock, case_id, actor, reason)
            return {"dropped": case_id}

        return self._each(selection, drop)

    def preview_many(self, selection: Selection) -> dict[str, Any]:
        """Say of each of the selected records what a replay would do; at most `LOOKS` at once."""
        return self._each(selection, lambda case_id: {"previews": {"id": case_id, **self.one.preview(case_id)}}, LOOKS)

    def _each(self, selection: Selection, act: Callable[[str], dict[str, Any]], limit: int = MOST) -> dict[str, Any]:
        """Act on each case; answer what came of each by name, what was `refused`, and the id to go on after, if any."""
        with self.store.read() as connection:
            ids = selection.find(connection, limit)
        found: dict[str, Any] = {"refused": [*_missing(selection, ids)]}
        for case_id in ids:
            try:
                for name, one in act(case_id).items():
                    found.setdefault(name, []).append(one)
            except TrueupError as error:
                found["refused"].append({"id": case_id, "reason": str(error)})
        return found | {"next": ids[-1] if len(ids) == limit else None}

    # --- replay many, at a pace ---

    def replay_many(self, selection: Selection, actor: str, rate: float | None = None) -> dict[str, Any]:
        """Ask for the replay of the selected records at so many a second, by default as fast as each System's rate.

        They are let go one after another behind those asked for before; see `release`. Returns how many were `scheduled`,
        the instants of the `first` and `last`, what was `refused`, and the id to go on after.
        """
        if rate is not None and rate <= 0:
            raise BadInputError(f"a rate of {rate:g} a second moves nothing; give a number above 0")
        with self.store.read() as connection:
            ids = selection.find(connection)
            q = t.quarantine.c
            rows = connection.execute(select(t.quarantine).where(q.id.in_(ids)).order_by(q.id)).mappings().all()
            last = dict(
                connection.execute(
                    select(q.system, func.max(q.replay_at)).where(q.replay_at.is_not(None)).group_by(q.system)
                ).tuples().all()
            )  # fmt: skip
        due, refused = list[tuple[str, datetime]](), [*_missing(selection, ids)]
        pace = _Pace(self, last, rate)
        for row in rows:
            try:
                quarantine.agreed(quarantine.opened(row))
            except TrueupError as error:
                refused.append({"id": row["id"], "reason": str(error)})
                continue
            if row["replay_at"] is None:
                due.append((row["id"], pace.next(row["system"])))
        for at in range(0, len(due), AT_ONCE):
            with self.store.write() as connection:
                quarantine.schedule(connection, self.clock, due[at : at + AT_ONCE], actor)
        return {
            "scheduled": len(due), "first": min((at for _, at in due), default=None),
            "last": max((at for _, at in due), default=None), "refused": refused,
            "next": ids[-1] if len(ids) == MOST else None,
        }  # fmt: skip

    def rate_of(self, system: str) -> float:
        """Return how many records a second are let go to, or from, a system."""
        policy = self.registry.known().systems.get(system)
        return policy.spec.rate or RATE if policy else RATE

    def release(self, limit: int = AT_ONCE) -> int:
        """Make the asked-for replays that are due; return how many were dealt with.

        One whose target is paused or asks to wait is put off; one that is refused waits for a person again, with the reason.
        """
        q, now = t.quarantine.c, self.clock.now()
        due, sent = q.replay_at <= now, q.stage == "delivery"
        with self.store.read() as connection:
            targets = connection.execute(select(q.system).where(due, sent).distinct()).scalars().all()
            waits = {target: until for target in targets if (until := self.one.waits(connection, target))}
            query = select(q.id, q.system, q.replay_by).where(due, ~(sent & q.system.in_(list(waits))))
            ready = connection.execute(query.order_by(q.replay_at, q.id).limit(limit)).all()
            late = {
                target: connection.execute(select(q.id).where(due, sent, q.system == target).limit(LATE))
                .scalars()
                .all()
                for target in waits
            }
        for target, until in waits.items():
            self._postpone(late[target], until)
        silent: set[str] = set()
        for row in ready:
            if row.system in silent:  # it was asked in this turn, and once is enough
                self._postpone([row.id], self.clock.now() + AGAIN)
            elif not self._release(row.id, row.replay_by or "plane"):
                silent.add(row.system)
        return len(ready)

    def _release(self, case_id: str, actor: str) -> bool:
        """Make one replay; say no where a system that it needs did not answer."""
        try:
            self.one.replay(case_id, actor)
        except TooEarlyError as error:
            self._postpone([case_id], error.until)
        except RejectedError as error:
            self._refuse(case_id, str(error))
        except (ConnectorError, KeyMissingError) as error:
            log.info("a replay waits for a system, or a key", case=case_id, error=str(error))
            self._postpone([case_id], self.clock.now() + AGAIN)
            return isinstance(error, KeyMissingError)
        except OperationalError as error:
            log.info("a replay waits for the database", case=case_id, error=str(error.orig))
            self._postpone([case_id], self.clock.now() + AGAIN)
        except TrueupError as error:
            self._refuse(case_id, str(error))
        except Exception as error:
            log.exception("a replay failed", case=case_id)
            self._refuse(case_id, f"the replay failed: {error!r}; report the defect with the case's id")
        return True

    def _postpone(self, case_ids: Sequence[str], until: datetime) -> None:
        with self.store.write() as connection:
            quarantine.postpone(connection, case_ids, until)

    def _refuse(self, case_id: str, why: str) -> None:
        with self.store.write() as connection:
            case = quarantine.get(connection, case_id, lock=True)
            if case["state"] in quarantine.OPEN and case["replay_at"] is not None:
                quarantine.unschedule(connection, self.clock, case_id, "refused", why)

    def next_release(self) -> datetime | None:
        """Return when the next asked-for replay is due, or None."""
        q = t.quarantine.c
        with self.store.read() as connection:
            found: datetime | None = connection.execute(
                select(func.min(q.replay_at)).where(q.replay_at.is_not(None))
            ).scalar()
        return found


class _Pace:
    """Gives each record its instant: of one system one after another, or all of them at the rate that was asked for."""

    def __init__(self, bench: Workbench, last: Mapping[str, datetime | None], rate: float | None) -> None:
        self._bench, self._rate = bench, rate
        self._now = bench.clock.now()
        self._last: dict[str, datetime] = {system: at for system, at in last.items() if at is not None}
        if rate is not None and self._last:
            self._last = {"": max(self._last.values())}

    def next(self, system: str) -> datetime:
        """Return the next free instant of a system."""
        line = "" if self._rate is not None else system
        gap = timedelta(seconds=1 / (self._rate or self._bench.rate_of(system)))
        before = self._last.get(line)
        self._last[line] = self._now if before is None else max(self._now, before + gap)
        return self._last[line]


def _missing(selection: Selection, ids: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"id": one, "reason": str(NotFoundError(f"no quarantine case '{one}'"))}
        for one in selection.ids
        if one not in ids and one > selection.after
    ]


def _told(made: Corrected) -> dict[str, Any]:
    return {
        "id": made.id, "state": made.state, "needs_approval": made.needs_approval, "approval": list(made.approval),
        "changes": [{"path": one.path, "before": one.before, "after": one.after} for one in made.changes],
    }  # fmt: skip
