"""The made-up writes, made from the canonical models. Documents are marked DRILL-; stock is taken one unit down and up again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector, Write
from controlplane.drill.material import Material
from controlplane.drill.payloads import DOCUMENTS, LEVELS, MARK, NOT_MADE, WITHOUT_GOODS, Asked, Change
from controlplane.drill.record import Held, Record
from controlplane.errors import BadInputError
from rules.model.messages import parse, stock_key
from rules.outcomes import DONE, Outcome, Result

TRIES = 10
"""How often putting one level back is tried."""
LONGEST_WAIT = 120.0
"""Seconds that are waited at most when the target asks to wait."""


class Writes(Protocol):
    """A supply of writes. Used from several threads."""

    most_at_once: int | None
    """No more may be under way, because each needs something of its own."""

    def send(self, connector: Connector) -> Outcome:
        """Make one write, send it, and remember what came of it."""
        ...

    def put_back(self, connector: Connector, clock: Clock) -> list[str]:
        """Undo what can be undone; return what could not."""
        ...


def writes_for(
    entity: str, message_type: str, run: str, material: Material, clock: Clock, record: Record | None = None
) -> Writes:
    """Return the supply for a message type; `record` keeps what is off at the target meanwhile.

    Raises BadInputError for one that cannot be made up, saying why.
    """
    if message_type in LEVELS:
        return Levels(entity, message_type, run, material, clock, record)
    if message_type in DOCUMENTS:
        return Documents(entity, message_type, run, material, clock)
    why = NOT_MADE.get(message_type, "nobody has said how")
    raise BadInputError(
        f"a '{message_type}' cannot be made up for a drill: {why}; those that can: {', '.join([*LEVELS, *DOCUMENTS])}"
    )


def needs_goods(message_type: str) -> bool:
    """Say whether writes of this type name goods."""
    return message_type not in WITHOUT_GOODS


@dataclass
class Documents:
    """Each write is a new document with a reference of its own; documents stay at the target."""

    entity: str
    message_type: str
    run: str
    material: Material
    clock: Clock
    most_at_once: int | None = None
    _number: Iterator[int] = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, connector: Connector) -> Outcome:
        """Send the next document."""
        return connector.write(self.next())

    def next(self) -> Write:
        """Make the next document."""
        with self._lock:
            number = next(self._number)
        ref = f"{MARK}-{self.run}-{number}"
        made = DOCUMENTS[self.message_type](Asked(number, ref, self.clock.now(), self.material))
        payload = parse(self.message_type, made).model_dump(mode="json")
        return Write(self.entity, ref, f"drill:{self.run}:{number}", payload, ref)

    def put_back(self, connector: Connector, clock: Clock) -> list[str]:
        """Leave the documents where they are: a connector takes nothing back."""
        return []


class Levels:
    """Each write sets a level that nobody else of ours writes to just now: one unit down, one unit up. Never more than there was."""

    def __init__(
        self, entity: str, message_type: str, run: str, material: Material, clock: Clock, record: Record | None = None,
        left: Sequence[Held] = (),
    ) -> None:  # fmt: skip
        """`left`: levels that another drill has left as they are told; otherwise those of the material. Raises BadInputError."""
        found = list(left) or [
            Held(entity, message_type, key, value) for key, value in material.shown.items() if value >= 1
        ]
        if not found:
            raise BadInputError(
                f"'{material.system}' shows no stock of which one unit could be taken down and up again; give it some, or name "
                "goods that have some with --sku and --location"
            )
        self.entity, self.message_type, self.run, self.clock, self.material = entity, message_type, run, clock, material
        self.most_at_once: int | None = len(found)
        self._free, self._all = deque(found), found
        self._number = count()
        self._lock = threading.Lock()
        self._record = record

    def send(self, connector: Connector) -> Outcome:
        """Change the level that has rested longest."""
        with self._lock:
            held = self._free.popleft()
        try:
            return self._change(held, connector)
        finally:
            with self._lock:
                self._free.append(held)

    def _change(self, held: Held, connector: Connector) -> Outcome:
        again, request = held.doubtful is not None, self._write(held)
        self._note(replace(held, doubtful=request))
        try:
            outcome = connector.write(request)
        except Exception:
            held.doubtful = request
            raise
        self._settle(held, request, outcome, again=again)
        self._note(held)
        return outcome

    def _note(self, held: Held) -> None:
        if self._record is not None:
            self._record.note(held)

    def _write(self, held: Held) -> Write:
        if held.doubtful is not None:
            return held.doubtful  # the same write again under the same key: its answer tells what became of the first
        with self._lock:
            number = next(self._number)
        quantity = held.shown + 1 if held.lowered else max(0, held.shown - 1)
        made = LEVELS[self.message_type](
            Change(*held.key, quantity, held.shown, self.clock.now(), self.material.system)
        )
        payload = parse(self.message_type, made).model_dump(mode="json")
        subject = stock_key(*held.key)
        return Write(self.entity, subject, f"drill:{self.run}:{number}", payload, subject)

    @staticmethod
    def _settle(held: Held, request: Write, outcome: Outcome, *, again: bool) -> None:
        wanted = int(request.payload.get("quantity", request.payload.get("available", 0)))
        stale = outcome.result is Result.STALE
        if outcome.result in DONE or (stale and again and outcome.current == wanted):
            held.lowered = not held.lowered if wanted != held.shown else held.lowered
            held.shown, held.doubtful = wanted, None
        elif stale:
            # somebody sold or counted meanwhile: what we took off is still off
            held.shown, held.doubtful = outcome.current if outcome.current is not None else held.shown, None
            held.undecided = again
        elif outcome.result is Result.UNKNOWN:
            held.doubtful = request

    def put_back(self, connector: Connector, clock: Clock) -> list[str]:
        """Put back every unit that is off; return the levels where that failed."""
        return [told for held in self._all if (told := self._restore(held, connector, clock))]

    def _restore(self, held: Held, connector: Connector, clock: Clock) -> str:
        last = ""
        for _ in range(TRIES):
            if not held.lowered and held.doubtful is None:
                return ""
            outcome = self._change(held, connector)
            last = str(outcome.result)
            if outcome.result not in (*DONE, Result.STALE):
                clock.wait(threading.Event(), min(outcome.retry_after or 1.0, LONGEST_WAIT))
        well = not held.lowered and held.doubtful is None
        return "" if well else f"{stock_key(*held.key)} may show one unit less than before ({last})"


def put_back_left(record: Record, system: str, run: str, connector: Connector, clock: Clock) -> tuple[int, list[str]]:
    """Put back what a drill of the system has left off that was killed; return how many levels it was, and where it failed."""
    held, told = record.left(), list[str]()
    for entity, message_type in sorted({(one.entity, one.message_type) for one in held}):
        mine = [one for one in held if (one.entity, one.message_type) == (entity, message_type)]
        writes = Levels(entity, message_type, f"{run}-left", Material(system), clock, record, mine)
        told += writes.put_back(connector, clock)
        told += [
            f"{stock_key(*one.key)} may show one unit less than before (it changed while a write was in doubt)"
            for one in mine
            if one.undecided and one.well
        ]
    return len(held), told
