"""How a system stands: paused by a person, asking to wait, failing, or well. One row a system, shared by all workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, String, bindparam, func, select, type_coerce, update

from controlplane.clock import Clock
from controlplane.connectors.outcomes import AWAITED, DEFECTIVE
from controlplane.store import tables as t
from controlplane.store.direct import Prepared
from controlplane.store.text import kept
from controlplane.store.upsert import insert_new, upsert
from rules import pacing
from rules.outcomes import REPEATABLE, Outcome, Result
from rules.pacing import Allowance, Bucket
from rules.policy.kinds import SystemSpec
from rules.retry import LONGEST_WAIT, breaker_pause

FAILED = (Result.UNAVAILABLE, Result.UNKNOWN)
SILENT = REPEATABLE
"""That nothing happened is no sign that the system takes writes."""
OBSERVED = timedelta(seconds=10)
"""How far back it is counted how fast a system was asked when it says 'slow down'."""


_ONE = select(t.system_state).where(t.system_state.c.system == bindparam("system", type_=String))
_STATE, _LOCKED = Prepared(_ONE), Prepared(_ONE.with_for_update())


def state_of(connection: Connection, system: str, *, lock: bool = False) -> Row[Any] | None:
    """Return the row of a system, or None while nothing has happened to it. `lock`: nobody else claims meanwhile."""
    found = (_LOCKED if lock else _STATE).rows(connection, system=system)
    return found[0] if found else None


def ask_state(connection: Connection, system: str) -> Callable[[], Row[Any] | None]:
    """Return what gives `state_of`, asked with the next statement."""
    asked = _STATE.asked(connection, system=system)
    return lambda: next(iter(asked()), None)


def locked(connection: Connection, system: str) -> Row[Any]:
    """Return the row of a system, made if it is not there yet, locked for this transaction."""
    return ask_locked(connection, system)()


def ask_locked(connection: Connection, system: str) -> Callable[[], Row[Any]]:
    """Return what gives `locked`, asked with the next statement."""
    asked = _LOCKED.asked(connection, system=system)

    def found() -> Row[Any]:
        row = next(iter(asked()), None)
        if row is None:
            insert_new(connection, t.system_state, [{"system": system, "consecutive_failures": 0}])
            row = state_of(connection, system, lock=True)
        assert row is not None  # noqa: S101 - it was made a line ago
        return row

    return found


def change(connection: Connection, system: str, **values: Any) -> None:
    """Set these columns of a system's row, and no other; it is made if it is not there yet.

    What is set by how the row stands takes it `locked`: workers and operators change it at the same time.
    """
    mine = update(t.system_state).where(t.system_state.c.system == system)
    if not connection.execute(mine.values(**values)).rowcount:
        upsert(connection, t.system_state, {"system": system, "consecutive_failures": 0} | values)


# --- what came of the tries ---


def note(
    connection: Connection, clock: Clock, system: str, spec: SystemSpec | None, outcomes: Sequence[Outcome],
    before: Row[Any] | None,
) -> None:  # fmt: skip
    """Note the outcomes of a batch, in the order in which they came. `before`: how the system stood, seen without a lock.

    What a defect of the connector left unknown tells nothing of the system; what is queued there was taken.
    """
    spoke = [one for one in outcomes if one.result not in SILENT and DEFECTIVE not in one.evidence]
    if not spoke:
        return
    tail: list[Outcome] = []
    for outcome in reversed(spoke):
        if outcome.result not in FAILED or AWAITED in outcome.evidence:
            break
        tail.append(outcome)
    if len(tail) < len(spoke):
        _succeeded(connection, clock, system, spec, before)
    throttles = [outcome for outcome in spoke if outcome.result is Result.THROTTLED]
    if throttles:
        worst = max(throttles, key=lambda outcome: outcome.retry_after or 1)
        throttled(connection, clock, system, spec, worst.retry_after or 1, worst.detail)
    for outcome in reversed(tail):
        failed(connection, clock, system, outcome.detail, spec, outcome.retry_after)


def succeeded(connection: Connection, clock: Clock, system: str, spec: SystemSpec | None = None) -> None:
    """Note an answer. After an outage, what waits out a pause of its own is due early, see `claim.release`.

    It ends a pause that was given for failures, and not one that the system asked for: the answer may be to a request
    that was on its way before.
    """
    _succeeded(connection, clock, system, spec, state_of(connection, system))


def _succeeded(
    connection: Connection, clock: Clock, system: str, spec: SystemSpec | None, before: Row[Any] | None
) -> None:
    if before and not (before.consecutive_failures or before.blocked_until or _old(before.last_ok_at, clock)):
        return
    before = locked(connection, system)
    calm: dict[str, Any] = {"consecutive_failures": 0}
    if not _asked_to_wait(before, clock, spec):
        calm |= {"blocked_until": None, "blocked_reason": None}
    if before.blocked_until and before.consecutive_failures:
        calm["release_at"] = clock.now()
    change(connection, system, last_ok_at=clock.now(), **calm)


def _asked_to_wait(row: Row[Any], clock: Clock, spec: SystemSpec | None) -> bool:
    """Whether a pause runs that the system itself asked for; that of a breaker comes with so many failures in a row."""
    waits = row.blocked_until is not None and row.blocked_until > clock.now()
    return waits and row.consecutive_failures < (spec or _DEFAULT).breaker.after


def _old(instant: datetime | None, clock: Clock) -> bool:
    return instant is None or not timedelta(0) <= clock.now() - instant <= timedelta(seconds=1)


def failed(
    connection: Connection, clock: Clock, system: str, detail: str, spec: SystemSpec | None = None,
    retry_after: float | None = None,
) -> None:  # fmt: skip
    """Note a failure; after as many in a row as the System policy says, it is given a pause that doubles up to a cap.

    `retry_after`: seconds that it asked to be left alone for, an hour at most.
    """
    before = locked(connection, system)
    failures = before.consecutive_failures + 1
    values: dict[str, Any] = {
        "consecutive_failures": failures,
        "last_error": kept(detail),
        "last_error_at": clock.now(),
    }
    breaker = (spec or _DEFAULT).breaker
    pause = breaker_pause(breaker.after, breaker.pause, breaker.cap, failures) or timedelta(0)
    asked = timedelta(seconds=min(retry_after or 0, LONGEST_WAIT.total_seconds()))
    if pause or asked:
        told = f"{failures} failures in a row: {kept(detail)}" if pause >= asked else kept(detail)
        values |= _blocked(before, clock.now() + max(pause, asked), told)
    change(connection, system, **values)


def _blocked(row: Row[Any], until: datetime, reason: str) -> dict[str, Any]:
    """What keeps a system from being asked until then; a longer pause that runs stays as it is."""
    if row.blocked_until is not None and row.blocked_until >= until:
        return {}
    return {"blocked_until": until, "blocked_reason": reason}


_DEFAULT = SystemSpec(connector="-", owner="nobody", role="bi", endpoint="-")
"""The limits of a system that policy does not know any more."""


def throttled(
    connection: Connection, clock: Clock, system: str, spec: SystemSpec | None, seconds: float, detail: str
) -> None:
    """Wait as long as the system asks, an hour at most, and ask it for less from then on."""
    now = clock.now()
    until = now + timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))
    row = locked(connection, system)
    values = _blocked(row, until, kept(detail))
    if row.learned_at is None or now - row.learned_at > timedelta(seconds=1):  # once for a burst of them
        rate = spec.rate if spec else None
        slowed = pacing.slowed(bucket_of(row), rate, _observed(connection, system, now), now)
        values |= bucket_values(slowed)
    if values:
        change(connection, system, **values)


def _observed(connection: Connection, system: str, now: datetime) -> float:
    """The most requests that it was sent in one of the last seconds: an average would be next to nothing after a quiet time."""
    a = t.attempt.c
    second = func.floor(type_coerce(a.finished_at, BigInteger) / 1_000_000)
    count = func.count().label("requests")
    busiest = select(count).where(a.finished_at > now - OBSERVED, a.system == system).group_by(second)
    return float(connection.execute(busiest.order_by(count.desc()).limit(1)).scalar() or 0)


# --- the limit that all workers share ---


def bucket_of(row: Row[Any] | None) -> Bucket:
    """Return the bucket that a row keeps."""
    return Bucket(row.tokens, row.tokens_at, row.learned_rate, row.learned_at) if row else Bucket(None, None)


def bucket_values(bucket: Bucket) -> dict[str, Any]:
    """Return the columns that keep a bucket."""
    return {
        "tokens": bucket.tokens,
        "tokens_at": bucket.at,
        "learned_rate": bucket.learned_rate,
        "learned_at": bucket.learned_at,
    }


def heed(connection: Connection, clock: Clock, system: str, allowance: Allowance) -> None:
    """Take what the system says is left of its limit for true."""
    if not _heeded(state_of(connection, system), clock.now(), allowance):
        return
    values = _heeded(locked(connection, system), clock.now(), allowance)
    if values:
        change(connection, system, **values)


def _heeded(row: Row[Any] | None, now: datetime, allowance: Allowance) -> dict[str, Any]:
    """Return the columns that change by what the system says."""
    bucket = bucket_of(row)
    heeded = pacing.heeded(bucket, allowance, now)
    values = bucket_values(heeded) if heeded != bucket else {}
    if allowance.remaining < 1 and allowance.reset_after:
        until = now + timedelta(seconds=min(allowance.reset_after, LONGEST_WAIT.total_seconds()))
        used_up = "it says that its limit is used up"
        values |= {"blocked_until": until, "blocked_reason": used_up} if row is None else _blocked(row, until, used_up)
    return values


@dataclass(frozen=True, slots=True)
class Leave:
    """How many requests may be made to a system now, and if none, the seconds until one may be."""

    requests: int
    wait: float | None = None


def leave(
    connection: Connection, clock: Clock, system: str, spec: SystemSpec | None, row: Row[Any], wanted: int
) -> Leave:
    """Take up to so many requests out of the system's limit; of one that was failing, a single one to test it."""
    now, rate, burst = clock.now(), spec.rate if spec else None, spec.burst if spec else None
    if row.consecutive_failures >= (spec or _DEFAULT).breaker.after:
        wanted = min(wanted, 1)
    before = bucket_of(row)
    bucket = pacing.refilled(before, rate, burst, now)
    given, after = pacing.take(bucket, wanted)
    if after != before:
        values = bucket_values(after)
        connection.execute(update(t.system_state).where(t.system_state.c.system == system).values(**values))
    return Leave(given, None if given else pacing.seconds_to_token(after, rate, now))


def give_back(connection: Connection, system: str, requests: int) -> None:
    """Put requests back that were not made."""
    s = t.system_state.c
    limited = update(t.system_state).where(s.system == system, s.tokens.is_not(None))
    connection.execute(limited.values(tokens=s.tokens + requests))
