"""Take accepted messages through the processes and route what comes of it: a batch in one short transaction.

A message that breaks a rule, or that a process fails at, is put into quarantine whole; the others of its batch go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from controlplane import plugins
from controlplane.errors import BadInputError
from controlplane.store import Store, direct, facts, signals
from controlplane.store import tables as t
from controlplane.store.direct import Prepared
from controlplane.store.locks import lock_books
from controlplane.store.types import micros
from controlplane.sync import quarantine
from controlplane.sync.ledger import Message, append
from controlplane.sync.processes.contract import BusinessRuleError, OutdatedError, Process, Work
from controlplane.sync.routing import contradictions, owed
from controlplane.sync.routing.pauses import ask_paused
from controlplane.sync.routing.route import route, worth
from controlplane.telemetry.facts import PLANE, Origin, Processed, Step
from controlplane.telemetry.tracing import span_id

log = structlog.get_logger()
TURN = {"sqlite": 0.012, "postgresql": 0.1}
"""Wall seconds after which a batch is committed: where there is one writer, a transaction stays under 20 ms."""

_CONTRADICTS = "look at the earlier message of the same key; correct this one, or drop it"
FEWEST = 16
"""Messages that a batch reads at least."""
CAREFUL = 20
"""Batches that are taken with savepoints after one that failed."""


@cache
def processes() -> tuple[Process, ...]:
    """Return the processes that are installed, in the order in which they run."""
    found: list[Process] = [process for _, process in plugins.load_all("processes")]
    return tuple(sorted(found, key=lambda process: process.stage))


@cache
def handling(message_type: str) -> tuple[Process, ...]:
    """Return the processes that handle a type of message, in their order."""
    return tuple(process for process in processes() if message_type in process.handles)


_WAITING = t.among(t.message.c.state, "accepted")
_ANY = Prepared(select(t.message.c.id).where(_WAITING).order_by(t.message.c.id).limit(1))
_OLDEST = Prepared(select(t.message).where(_WAITING).order_by(t.message.c.id).limit(bindparam("most")))


class Processing:
    """Takes accepted messages through the processes, a batch in one transaction.

    A batch is tried without a savepoint around each message. Where a process fails at one of them the batch is rolled
    back and taken again with savepoints, and so are the next few: what fails once mostly fails in a row.
    """

    def __init__(self, store: Store, work_of: Callable[[Connection], Work], limit: int = 500) -> None:
        self._store, self._work_of, self._limit = store, work_of, limit
        self._careful = 0
        self.asks = limit
        """How many messages the next batch reads: twice those that the last one had time for, within the limit."""

    def some(self, *, look_first: bool = True) -> int:
        """Process the oldest accepted messages; return how many left that state. Where more wait, that is told at the commit.

        `look_first`: do not take the turn of writing before it is seen that a message waits. They are routed as
        policy stands within the transaction: who has routed something again from the ledger, under the same lock and before
        it, has done it by policies that are no newer.
        """
        if look_first:
            with self._store.look() as connection:
                if not _ANY.rows(connection):
                    return 0
        if self._careful:
            self._careful -= 1
            return self._carefully()
        try:
            return self._consistent(careful=False)
        except SQLAlchemyError:
            raise  # the database, not a message
        except Exception:  # noqa: BLE001 - whatever it is, it is found and told message by message
            self._careful = CAREFUL
            return self._carefully()

    def _carefully(self) -> int:
        """With savepoints; where even so a message ends the batch, the oldest alone, and aside with it if it is the one."""
        try:
            return self._consistent(careful=True)
        except SQLAlchemyError:
            raise
        except Exception:
            log.exception("a batch of messages ended")
            self._careful = CAREFUL
            try:
                return self._consistent(careful=True, most=1)
            except SQLAlchemyError:
                raise
            except Exception as again:  # noqa: BLE001
                return set_aside(self._store, self._work_of, again)

    def _consistent(self, *, careful: bool, most: int | None = None) -> int:
        """Take a batch; once more where it was seen at its end that messages contradict what was told before."""
        found: dict[str, str] = {}
        while True:
            try:
                return self._batch(careful=careful, most=most, contradicting=found)
            except _ContradictedError as error:  # each time it is others: those that were found are not routed again
                found |= error.found

    def _batch(self, *, careful: bool, most: int | None = None, contradicting: Mapping[str, str]) -> int:
        usual, most = most is None, most or self.asks
        with self._store.write(derived=True) as connection:
            lock_books(connection, in_index_order=True)
            asked, waiting = ask_paused(connection), _OLDEST.asked(connection, most=most)
            work = self._work_of(connection)
            clock = work.clock
            began = clock.stopwatch()
            found: list[owed.Owed] = []
            steps: list[Step] = []
            paused = asked(clock.now())
            rows = waiting()
            for row in rows:
                steps.append(_advance(work, row, paused, found, careful, contradicting.get(row.id)))
                if (clock.stopwatch() - began) * clock.pace > TURN[connection.dialect.name]:
                    break
            new = owed.write(connection, found, clock.now())
            if new < len(found) and (told := contradictions.contradicting(connection, found)):
                raise _ContradictedError(told)
            if len(steps) < len(rows) or len(rows) == most:
                signals.note(connection, signals.MESSAGES)  # more wait
            done = [step.id for step in steps if step.result == "processed"]
            if done:
                _processed(connection, done, clock.now())
            facts.note(connection, Processed(steps))
        if usual:
            self.asks = min(self._limit, max(FEWEST, 2 * len(steps)))
        return len(steps)


_PROCESSED = "UPDATE message SET state = 'processed', processed_at = {now} WHERE id {among}"
_PROCESSED_SQLITE = _PROCESSED.format(now="?", among="IN (SELECT value FROM json_each(?))")
_PROCESSED_POSTGRESQL = _PROCESSED.format(now="%s", among="= ANY(%s)")


def _processed(connection: Connection, ids: list[str], now: datetime) -> None:
    if connection.dialect.name == "postgresql":
        direct.later(connection, _PROCESSED_POSTGRESQL, (micros(now), ids))
    else:
        direct.change(connection, _PROCESSED_SQLITE, (micros(now), orjson.dumps(ids).decode()))


class _ContradictedError(Exception):
    """Messages of a batch contradict others that are known: message -> the other."""

    def __init__(self, found: Mapping[str, str]) -> None:
        super().__init__(f"{len(found)} messages contradict others")
        self.found = found


class _SpoiledError(Exception):
    """A process failed, and what it had written is not to be told from what others wrote."""


def _advance(
    work: Work, row: Row[Any], paused: dict[str, int], found: list[owed.Owed], careful: bool, other: str | None
) -> Step:
    began, before = work.clock.now(), len(found)
    if other is not None:
        result = "quarantined"
        _hold(
            work,
            row,
            "contradiction",
            f"{row.type} {row.subject} says otherwise than message {other} did",
            _CONTRADICTS,
        )
    else:
        result = "processed" if advance(work, row, paused, found, careful=careful) else "quarantined"
    return Step(
        row.id, row.type, row.trace_id, row.accepted_at, began, work.clock.now(), result, len(found) - before
    )  # fmt: skip


def advance(work: Work, row: Row[Any], paused: dict[str, int], found: list[owed.Owed], *, careful: bool = True) -> bool:
    """Let the processes act on one message and add what is owed for it; say whether it went through.

    What did not is in quarantine. Take `lock_books` before. Not `careful`: raises where a process fails, and the
    transaction has to be rolled back.
    """
    try:
        message = Message.of(row)
        if not handling(message.type):
            pass
        elif careful:
            with facts.savepoint(work.connection):
                _process(work, message)
        else:
            _process_or_spoil(work, message)
        found += route(work, message, paused)
    except _SpoiledError:
        raise
    except OutdatedError:
        return True
    except BusinessRuleError as error:
        _hold(work, row, error.code, str(error), error.remedy, error.fault)
    except BadInputError as error:
        _hold(work, row, "schema", str(error), "correct the record and replay", error.field)
    except (IntegrityError, DataError) as error:
        why = f"{row.type} {row.subject} contradicts what is known already: {str(error.orig).splitlines()[0]}"
        _hold(work, row, "contradiction", why, _CONTRADICTS)
    except SQLAlchemyError:
        raise  # the database, not the message
    except Exception as error:
        log.exception("a process failed at a message", message=row.id)
        remedy = "report the defect with the message's id; replay when it is mended"
        _hold(work, row, "defect", f"processing {row.type} {row.subject} failed: {error!r}", remedy)
    else:
        return True
    return False


def _process_or_spoil(work: Work, message: Message) -> None:
    try:
        _process(work, message)
    except OutdatedError:
        raise
    except SQLAlchemyError as error:
        if isinstance(error, (IntegrityError, DataError)):
            raise _SpoiledError from error
        raise
    except Exception as error:
        raise _SpoiledError from error


def _process(work: Work, message: Message) -> None:
    for process in handling(message.type):
        for draft in process.apply(work, message):
            emit(work, draft, message.trace_id, message.id)


def emit(work: Work, draft: Any, trace_id: str, causation_id: str | None) -> str | None:
    """Append a message that the plane itself makes; it goes the same way as all others."""
    return append(
        work.connection, work.clock, draft, source="plane", registry_version=work.snapshot.version,
        trace_id=trace_id, causation_id=causation_id,
        origin=Origin(PLANE.channel, span_id("process", causation_id)) if causation_id else PLANE,
    )  # fmt: skip


def _hold(work: Work, row: Row[Any], code: str, reason: str, remedy: str, fault: str = "") -> None:
    values = {"state": "quarantined", "processed_at": work.clock.now()}
    work.connection.execute(update(t.message).where(t.message.c.id == row.id).values(**values))
    flow = next(iter(work.snapshot.flows_from.get((row.source, row.type), ())), None)
    system = work.snapshot.systems.get(row.source)
    owner = flow.spec.owner if flow else system.spec.owner if system else ""
    record, money, currency = _known(work, row) if "data" in row._fields else ({"message": row.id}, None, None)
    case = quarantine.Case(
        stage="process", system=row.source, flow=flow.name if flow else "", owner=owner, reason_code=code, reason=reason,
        remedy=remedy, subject=row.subject, record=record, message_id=row.id, fault=fault, money=money, currency=currency,
    )  # fmt: skip
    quarantine.hold(work.connection, work.clock, case)


def _known(work: Work, row: Row[Any]) -> tuple[dict[str, Any], Any, str | None]:
    """Return the data in the present schema version, if it can be read, and what it is worth."""
    try:
        message = Message.of(row)
    except BadInputError:
        return row.data, None, None
    try:
        return message.data.model_dump(mode="json"), *worth(work, message)
    except ArithmeticError:  # what cannot be counted is worth no less a look
        return message.data.model_dump(mode="json"), None, None


def set_aside(store: Store, work_of: Callable[[Connection], Work], why: Exception) -> int:
    """Put the oldest accepted message into quarantine without reading more of it than its names: it cannot be processed."""
    m = t.message.c
    with store.write() as connection:
        lock_books(connection, in_index_order=True)
        query = select(m.id, m.type, m.source, m.subject).where(_WAITING).order_by(m.id).limit(1)
        row: Any = connection.execute(query).one_or_none()
        if row is None:
            return 0
        work = work_of(connection)
        remedy = "report the defect with the message's id; replay when it is mended"
        _hold(work, row, "defect", f"{row.type} {row.subject} cannot be processed: {why!r}", remedy)
    return 1
