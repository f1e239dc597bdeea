"""The EDI X12 connector: files of a partner's folder read set by set and acknowledged after the commit; a 940 handed over once.

A delivery has one control number, which the plane's store keeps. It is handed over by renaming a file that was written aside, and noted
as used before that: so after a crash it is known whether it can have reached the partner. It is delivered when the partner's 997 says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

from controlplane.connectors.builtin.edi_x12 import acks, drafts, records, writer
from controlplane.connectors.builtin.edi_x12.partner import OPTIONS, flaws, profile_of
from controlplane.connectors.builtin.edi_x12.reader import LARGEST, EdiError, Interchange, read
from controlplane.connectors.builtin.edi_x12.syntax import content, schema
from controlplane.connectors.contract import (
    Connector,
    Context,
    Draft,
    Manifest,
    Page,
    ReadSpec,
    Record,
    Write,
    WriteSpec,
)
from controlplane.connectors.drops import folders_of
from controlplane.connectors.folders import Entry, aside_of
from controlplane.connectors.outcomes import AWAITED, answering_read_back, answering_write
from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError, UnavailableError, UnknownOutcomeError, UnreadableError
from rules.outcomes import Guarantee, Outcome, Result

SERIES = "control"
"""One series for all that we send: ISA13 and GS06 are the same number."""
LATE = 60.0
REMEMBERED = 2000
"""Interchanges whose control numbers are known again."""
SOONEST, LATEST = 15.0, 900.0
"""Seconds until an acknowledgement is looked for again: a quarter of the time that it is awaited already, within these."""


class EdiX12Connector(Connector):
    """A partner's folders. Options: partner.OPTIONS. Secrets over SFTP: user, and password or private_key."""

    manifest: ClassVar[Manifest] = Manifest(
        name="edi_x12",
        title="EDI X12 (940, 944, 945, 846, 856, 997, TA1) over a folder or SFTP",
        reads=(ReadSpec("interchanges", changes=True),),
        writes=(
            WriteSpec(
                "order",
                ("order.placed",),
                Guarantee.READABLE,
                late_effect=LATE,
                how="looked up by its control number, the file that was written aside, the partner's 997",
            ),
        ),
        secrets=("user", "password", "private_key"),
        optional_secrets=("user", "password", "private_key"),
        options=OPTIONS,
        schemes=("sftp",),
        check=flaws,
        verified_against="public sample files, OpenSSH's SFTP server, the sandbox's partner",
        kind="3pl",
        auth="none for a folder; password or key of an SFTP user, the host's key checked",
        limits="none; a file is an interchange",
        gaps=("an address to ship to", "180, 943 and 947", "AS2", "an order from several locations"),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._profile = profile_of(context)
        self._folders = folders_of(context)
        self._lock = threading.Lock()
        self._verdicts: dict[tuple[str, int, int], dict[int, acks.Verdict]] = {}

    def close(self) -> None:
        """Close the connection."""
        self._folders.close()

    def ping(self) -> None:
        """List the inbox."""
        self._folders.entries(self._profile.inbox)

    # --- reading ---
    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """Yield one page a file that is new or changed. What is owed as acknowledgement stands in the cursor until it is sent.

        A file that cannot be read may still be written: it is refused once it has not changed since the last poll.
        """
        if entity != "interchanges":
            yield from super().poll(entity, cursor)
            return
        state = _State(cursor or {}, self._folders.entries(self._profile.inbox))
        self._acknowledge(state)
        for entry in list(state.entries.values()):
            if state.is_done(entry):
                self._put_away(entry)  # a crash may have come between
                continue
            taken = self._records(entry, state)
            if taken is None:
                continue
            yield Page(tuple(taken), state.cursor())
            # only now is it committed, and may be acknowledged and put away
            self._acknowledge(state)
            self._put_away(entry)
        yield Page((), state.cursor())

    def _records(self, entry: Entry, state: _State) -> list[Record] | None:
        """Return what a file holds, and note in the state what is to be said of it; None while it may still be written."""
        whole = b""
        try:
            whole = self._folders.read(f"{self._profile.inbox}/{entry.name}", LARGEST)
            interchanges = read(whole)
        except (EdiError, UnreadableError) as error:
            if isinstance(error, EdiError) and state.is_growing(entry):
                return None
            state.done(entry)
            told = error if isinstance(error, BadInputError) else BadInputError(str(error))
            return [records.of_file(entry.name, whole, told)]
        state.done(entry)
        return [record for one in interchanges for record in self._of_interchange(entry.name, one, state)]

    def _of_interchange(self, name: str, one: Interchange, state: _State) -> Iterator[Record]:
        stranger = self._profile.stranger(one)
        if stranger:  # we owe a stranger no answer
            return records.of_interchange(name, one, stranger)
        known = state.seen(one)
        conflict = known is not None and known != one.digest
        if self._profile.acknowledge:
            told = acks.told_of(one, conflict)
            if told["ta1"] or told["groups"]:
                state.acks.append(told)
        if conflict:
            why = f"the control number ISA13 {one.isa.at(13)} came before with another content"
            return records.of_interchange(name, one, f"{why}; ask the partner which of the two is meant")
        return records.of_interchange(name, one, "")

    def _acknowledge(self, state: _State) -> None:
        while state.acks:
            self._say(state.acks[0])
            state.acks.pop(0)

    def _say(self, told: dict[str, Any]) -> None:
        """Hand over what we say of an interchange. Said again, it has the same control number and the same name."""
        key = f"ack/{told['key']}"
        number = self.context.numbers.take(SERIES, key)
        tas, sets = acks.lines_of(told)
        control = writer.control_of(number.value, self._profile.first_control)
        body = writer.interchange(
            self._profile, control, number.taken_at.astimezone(self._profile.zone), "FA", sets, tas
        )
        path = f"{self._profile.outbox}/997_{control:09d}.x12"
        if not self._folders.exists(path):
            self._folders.aside(path, body)
            self.context.numbers.use(SERIES, key)
            self._folders.rename(aside_of(path), path)

    def _put_away(self, entry: Entry) -> None:
        if not self._profile.archive:
            return
        path, to = f"{self._profile.inbox}/{entry.name}", f"{self._profile.archive}/{entry.name}"
        if self._folders.exists(to):
            to = f"{self._profile.archive}/{entry.changed}-{entry.name}"
        self._folders.rename(path, to)

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        """Read a set. Raises EdiError with segment and element. What says of our own sets (997, TA1) makes no message."""
        record = read_json(body)
        records.refused_of(record)
        kind = topic.partition("/")[2]
        segments = records.segments_of(record)
        if kind in drafts.READERS and kind in schema().sets:
            # checked again: somebody may have corrected it
            wrong = content(kind, segments)
            if wrong:
                raise wrong[0]
        return drafts.read(kind, segments, self.context.codes, self._profile, self.context.system)

    # --- writing ---
    @answering_write
    def write(self, request: Write) -> Outcome:
        """Hand an order over, unless it was: then say how it stands. One that the partner refused gets a new control number."""
        self.manifest.write_spec(request.entity)
        key, standing = self._standing(request)
        return standing or self._hand_over(request, key)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Look for the acknowledgement, and for proof that nothing was handed over."""
        self.manifest.write_spec(request.entity)
        key, standing = self._standing(request, refused=True)
        return standing or Outcome(
            Result.ABSENT, f"{request.business_ref} was not handed over: its file never got its name ({key})"
        )

    def _standing(self, request: Write, *, refused: bool = False) -> tuple[str, Outcome | None]:
        """Return the key that its control number has, and how it stands; None while it was never handed over.

        `refused`: a refusal of the last one is told; else the next control number is used, for the partner knows that one.
        """
        told: Outcome | None = None
        for again in range(1, 1000):
            key = request.idempotency_key if again == 1 else f"{request.idempotency_key}#{again}"
            number = self.context.numbers.find(SERIES, key)
            if number is None:
                return key, told if refused else None
            if number.used_at is None:
                return key, None
            control = writer.control_of(number.value, self._profile.first_control)
            verdict = self._verdict_of(control)
            if verdict is None or verdict.accepted:
                return key, self._told(request, control, verdict, number.used_at)
            told = Outcome(
                Result.REJECTED,
                f"the partner refused control number {control:09d}: {verdict.detail}",
                native_id=str(control),
            )
        raise BadInputError(f"{request.business_ref} was refused a thousand times; drop it", "control")

    def _told(self, request: Write, control: int, verdict: acks.Verdict | None, since: datetime) -> Outcome | None:
        name = f"{control:09d}"
        if verdict is not None:
            return Outcome(Result.ALREADY_DELIVERED, f"the partner has {name}: {verdict.detail}", native_id=name)
        path = self._path(control)
        lies = self._folders.exists(path)
        if not lies and self._folders.exists(aside_of(path)):
            return None  # it was written aside and never got its name: only the name hands it over
        if not self._profile.await_997:
            return Outcome(Result.ALREADY_DELIVERED, f"{name} was handed over; no 997 is awaited", native_id=name)
        waited = (self.context.clock.now() - since).total_seconds()
        where = "it lies in the outbox still" if lies else "the partner took it"
        detail = f"{name} was handed over {max(0, waited):.0f} s ago, {where}, and no 997 has come"
        return _awaiting(detail, name, waited)

    def _hand_over(self, request: Write, key: str) -> Outcome:
        numbers = self.context.numbers
        lines = writer.order(request, self.context.codes, self._profile)
        number = numbers.take(SERIES, key)
        control = writer.control_of(number.value, self._profile.first_control)
        at = number.taken_at.astimezone(self._profile.zone)
        body = writer.interchange(self._profile, control, at, "OW", [lines])
        path, name = self._path(control), f"{control:09d}"
        self._folders.aside(path, body)
        numbers.use(SERIES, key)
        try:
            self._folders.rename(aside_of(path), path)
        except UnavailableError as error:
            raise UnknownOutcomeError(f"{error}; whether {name} got its name is looked up before any retry") from error
        if not self._profile.await_997:
            return Outcome(Result.DELIVERED, f"{name} was handed over; no 997 is awaited", native_id=name)
        return _awaiting(f"{name} was handed over; its 997 is awaited", name, 0.0)

    def _path(self, control: int) -> str:
        return f"{self._profile.outbox}/940_{control:09d}.x12"

    # --- what the partner says of what we sent ---
    def _verdict_of(self, control: int) -> acks.Verdict | None:
        """Return the newest verdict on a control number. Each file is read once as long as it does not change."""
        found: acks.Verdict | None = None
        with self._lock:
            known: dict[tuple[str, int, int], dict[int, acks.Verdict]] = {}
            for path, entry in self._recent():
                key = (path, entry.size, entry.changed)
                known[key] = self._verdicts[key] if key in self._verdicts else self._said_in(path)
                found = known[key].get(control, found)
            self._verdicts = known
        return found

    def _recent(self) -> list[tuple[str, Entry]]:
        since = (self.context.clock.now() - timedelta(days=self._profile.look_back_days)).timestamp()
        folders = [folder for folder in (self._profile.archive, self._profile.inbox) if folder]
        found = [(f"{folder}/{one.name}", one) for folder in folders for one in self._folders.entries(folder)]
        return sorted(
            ((path, one) for path, one in found if one.changed >= since), key=lambda pair: (pair[1].changed, pair[0])
        )

    def _said_in(self, path: str) -> dict[int, acks.Verdict]:
        try:
            interchanges = read(self._folders.read(path, LARGEST))
        except (EdiError, UnreadableError):
            return {}
        return acks.verdicts([one for one in interchanges if not self._profile.stranger(one)], "OW")


def _awaiting(detail: str, name: str, waited: float) -> Outcome:
    again = min(LATEST, max(SOONEST, waited / 4))
    return Outcome(
        Result.UNKNOWN, detail, retry_after=again, native_id=name, evidence={AWAITED: "997", "control": name}
    )


class _State:
    """The cursor: which files are done, which still grow, which control numbers came, and what is owed as acknowledgement."""

    def __init__(self, held: dict[str, Any], entries: list[Entry]) -> None:
        self.entries = {entry.name: entry for entry in entries}
        # names of files that somebody took away are forgotten, so that the cursor does not grow for ever
        self._done = {name: at for name, at in held.get("done", {}).items() if name in self.entries}
        self._before: dict[str, int] = held.get("growing", {})
        self._growing: dict[str, int] = {}
        self._seen: dict[str, str] = dict(held.get("seen", {}))
        self.acks: list[dict[str, Any]] = list(held.get("acks", []))

    def is_done(self, entry: Entry) -> bool:
        """Say whether a file was read as it is now."""
        return bool(self._done.get(entry.name) == [entry.size, entry.changed])

    def done(self, entry: Entry) -> None:
        """Note that a file was read."""
        self._done[entry.name] = [entry.size, entry.changed]

    def is_growing(self, entry: Entry) -> bool:
        """Note a file that cannot be read, and say whether it has changed since the last poll."""
        if self._before.get(entry.name) == entry.size:
            return False
        self._growing[entry.name] = entry.size
        return True

    def seen(self, one: Interchange) -> str | None:
        """Return what an interchange with the same number held when it first came, and note this one if it is the first."""
        key = f"{one.isa.at(5)}/{one.isa.at(6)}/{one.isa.at(13)}"
        known = self._seen.get(key)
        if known is None:
            self._seen[key] = one.digest
            for oldest in list(self._seen)[:-REMEMBERED]:
                del self._seen[oldest]
        return known

    def cursor(self) -> dict[str, Any]:
        """Return what the next poll goes on from."""
        return {"done": dict(self._done), "growing": self._growing, "seen": dict(self._seen), "acks": list(self.acks)}
