"""Record what came of tries: the attempts always, their effect only while the claim is still ours."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from controlplane.connectors.contract import UNMAPPED
from controlplane.store import facts
from controlplane.store.heads import promote
from controlplane.store.locks import lock_books, lock_targets
from controlplane.store.text import dumps, kept
from controlplane.store.types import micros
from controlplane.sync import quarantine
from controlplane.sync.delivery import effects, statements, systems, twice
from controlplane.sync.delivery.claim import Claimed
from controlplane.sync.delivery.send import Sent
from controlplane.sync.processes.contract import Work
from controlplane.sync.routing.pauses import all_paused_for
from controlplane.telemetry.facts import Attempted, Superseded
from rules.delivery import Next, Try, after
from rules.ids import new_id
from rules.outcomes import DeliveryState, Outcome, Result
from rules.policy.kinds import RetryPolicySpec

log = structlog.get_logger()
CLOSED = frozenset({DeliveryState.DELIVERED, DeliveryState.STALE})


def lock(connection: Connection, target: str, sents: Sequence[Sent]) -> None:
    """Take the locks under which the results are recorded."""
    if any(effects.has(sent) for sent in sents):
        lock_books(connection)
    lock_targets(connection, [target], alone=False)


def record(work: Work, target: str, sents: Sequence[Sent], before: Row[Any] | None) -> set[str]:
    """Write attempts, states and effects of a batch for one target; return the ids of the deliveries that counted.

    Take `lock` before. `before`: the row of the target.
    """
    now = work.clock.now()
    paused = all_paused_for(work.connection, now) if _any_failed(sents) else {}
    following = [(sent, _follow(work, sent, paused)) for sent in sents]
    revisions = {sent.claimed.flow: _revision(work, sent.claimed) for sent in sents}
    statements.add_attempts(work.connection, [_attempt(sent, revisions[sent.claimed.flow]) for sent in sents])
    counted = statements.finish(work.connection, [_finish(sent, then, now) for sent, then in following])
    facts.note(work.connection, Attempted(target, sents, counted))
    _settle(work, target, [pair for pair in following if pair[0].claimed.id in counted], before)
    return counted


def _any_failed(sents: Iterable[Sent]) -> bool:
    return any(sent.outcome.result is not Result.DELIVERED for sent in sents)


def _follow(work: Work, sent: Sent, paused: dict[str, int]) -> Next:
    claimed = sent.claimed
    if sent.outcome.result is Result.DELIVERED:
        return _DELIVERED
    so_far = paused.get(f"system/{claimed.target}", 0) + paused.get(f"flow/{claimed.flow}", 0)
    tried = Try(claimed.attempt, claimed.read_back, sent.late_effect, claimed.deadline_at(so_far), random.random())
    return after(sent.outcome, tried, _policy(work, claimed.flow, claimed.target), work.clock.now())


_DELIVERED = Next(DeliveryState.DELIVERED)


def _policy(work: Work, flow: str, target: str) -> RetryPolicySpec:
    """The retry policy in force for a flow and target; of a flow that policy has forgotten, the default one."""
    name = work.snapshot.retry_of(flow, target)
    return work.snapshot.retry_policies[name].spec if name else RetryPolicySpec()


def _revision(work: Work, claimed: Claimed) -> str:
    """The revision of the retry policy that decides now, which may be younger than the delivery."""
    name = work.snapshot.retry_of(claimed.flow, claimed.target)
    return work.snapshot.revision("RetryPolicy", name) if name else claimed.retry_revision


def _attempt(sent: Sent, revision: str) -> tuple[Any, ...]:
    claimed, outcome = sent.claimed, sent.outcome
    evidence = dumps(outcome.evidence) if outcome.evidence else None
    return (
        new_id(sent.finished_at), claimed.id, claimed.attempt, sent.kind, claimed.target, claimed.flow,
        micros(sent.started_at), micros(sent.finished_at), outcome.result.value, kept(outcome.detail), evidence, revision,
    )  # fmt: skip


def _finish(sent: Sent, then: Next, now: datetime) -> tuple[Any, ...]:
    claimed, outcome = sent.claimed, sent.outcome
    payload = orjson.dumps(claimed.payload).decode() if claimed.filled else None
    due = micros(then.due) if then.due else None
    finished = micros(now) if then.state in CLOSED else None
    return (
        then.state.value,
        due,
        outcome.result.value,
        kept(outcome.detail),
        finished,
        payload,
        claimed.id,
        claimed.fence,
    )


def _settle(work: Work, target: str, counted: Sequence[tuple[Sent, Next]], before: Row[Any] | None) -> None:
    """Note what took effect, let the next of each key go on, hold what gave up, and note how the system stands."""
    _take_effects(work, [
        sent for sent, then in counted
        if (then.state is DeliveryState.DELIVERED and effects.has(sent)) or effects.shows_as_wanted(sent)
    ])  # fmt: skip
    ended = [sent.claimed.order_key for sent, then in counted if then.state in CLOSED]
    if ended:
        promote(work.connection, target, ended)
    for sent, _ in counted:
        if twice.is_twice(sent.outcome):
            _hold_twice(work, sent)
    for sent, then in counted:
        if then.state is DeliveryState.QUARANTINED and not _overtaken(work, sent.claimed):
            _hold(work, sent, sent.outcome)
    spec = work.snapshot.systems[target].spec if target in work.snapshot.systems else None
    in_order = sorted((sent for sent, _ in counted), key=lambda sent: sent.finished_at)
    systems.note(work.connection, work.clock, target, spec, [sent.outcome for sent in in_order], before)
    allowances = [sent.allowance for sent in in_order if sent.allowance is not None]
    if allowances:
        systems.heed(work.connection, work.clock, target, allowances[-1])


def _take_effects(work: Work, sents: Sequence[Sent]) -> None:
    """Note what writes did: all together, and each by itself only where one of them fails."""
    if len(sents) > 1:
        try:
            with facts.savepoint(work.connection):
                for sent in sents:
                    effects.apply(work, sent)
        except (IntegrityError, DataError):
            log.debug("an effect of a batch contradicts what is known; each is noted by itself")
        except SQLAlchemyError:
            raise  # the database, not a record
        except Exception as error:  # noqa: BLE001 - it is found, and told, as each is noted by itself
            log.debug("an effect of a batch could not be noted; each is noted by itself", error=repr(error))
        else:
            return
    for sent in sents:
        _take_effect(work, sent)


def _take_effect(work: Work, sent: Sent) -> None:
    """Note what a write did. Where that fails the write stands all the same, and so do its neighbours' results: what we
    know of the target is then wrong until a comparison puts it right.
    """
    try:
        with facts.savepoint(work.connection):
            effects.apply(work, sent)
    except (IntegrityError, DataError):
        log.exception("an effect contradicts what is known", delivery=sent.claimed.id)
    except SQLAlchemyError:
        raise  # the database, not the record
    except Exception:
        log.exception("an effect could not be noted", delivery=sent.claimed.id)


def _overtaken(work: Work, claimed: Claimed) -> bool:
    """Close a state that failed when a later one waits behind it: that one is sent, and nobody has to look at this one."""
    if statements.overtake(work.connection, claimed.id, micros(work.clock.now())) == 0:
        return False
    facts.note(work.connection, Superseded(claimed.target, 1))
    promote(work.connection, claimed.target, [claimed.order_key])
    return True


def _hold(work: Work, sent: Sent, outcome: Outcome) -> None:
    claimed = sent.claimed
    flow = work.snapshot.flows.get(claimed.flow)
    system = work.snapshot.systems.get(claimed.target)
    code, fault, reason, remedy = _why(claimed, outcome)
    case = quarantine.Case(
        stage="delivery", system=claimed.target, flow=claimed.flow,
        owner=flow.spec.owner if flow else system.spec.owner if system else "",
        reason_code=code, reason=reason, remedy=remedy, fault=fault, subject=claimed.subject,
        record=dict(claimed.payload), message_id=claimed.message_id, delivery_id=claimed.id,
    )  # fmt: skip
    quarantine.hold(work.connection, work.clock, case)


def _hold_twice(work: Work, sent: Sent) -> None:
    c = sent.claimed
    twice.hold(work, twice.Written(c.id, c.target, c.flow, c.entity, c.subject, c.message_id, c.payload), sent.outcome)


def _why(claimed: Claimed, outcome: Outcome) -> tuple[str, str, str, str]:
    """Return reason code, fault, reason and remedy."""
    what = f"{claimed.entity} {claimed.subject}"
    if UNMAPPED in outcome.evidence:
        code = f"unmapped_{outcome.evidence[UNMAPPED]}"
        remedy = "extend the mapping of the target, or correct the record, and replay"
        return (
            code,
            str(outcome.evidence["code"]),
            f"{claimed.target} cannot be told of {what}: {outcome.detail}",
            remedy,
        )
    if outcome.result is Result.REJECTED:
        remedy = "correct the record, or what it refers to at the target, and replay"
        return "rejected", "", f"{claimed.target} refused {what}: {outcome.detail}", remedy
    reason = f"{claimed.target} took {what} in none of {claimed.attempt} tries: {outcome.detail}"
    return "gave_up", "", reason, "see that the system answers again, and replay"
