"""How the systems are set, against what policy promises of them."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.doctor.answers import Answer, ok, softened, warning, wrong
from controlplane.doctor.policies import hurried, of_sandbox
from controlplane.doctor.subject import Subject
from controlplane.health.observations.settings import Reading, read
from rules.settings import Standing

NAME = "settings at systems"


def settings(subject: Subject) -> Iterator[Answer]:
    """Ask every system how it is set, side by side; one that cannot be read now is a warning, never well."""
    if subject.offline:
        yield ok(NAME, "not asked (--offline)")
        return
    with hurried(subject) as connections:
        found = read(connections, subject.snapshot)
    for reading in found:
        for answer in _answers(reading):
            soft = of_sandbox(subject.snapshot.systems[reading.system]) and not subject.plane_runs
            yield softened(answer) if soft else answer


def _answers(reading: Reading) -> Iterator[Answer]:
    """What a system never tells is said, and is nothing to mend; where nothing is told there is nothing to look at."""
    if reading.unread is not None:
        if not reading.never_told:
            yield warning(NAME, f"unknown: {reading.unread}", "mend that first, and ask again", reading.system)
        return
    different, unknown = reading.of(Standing.DIFFERENT), reading.of(Standing.UNKNOWN)
    for one in different:
        detail = f"{one['name']} ought to be {one['promised']} and is {one['actual']}"
        yield wrong(NAME, detail, one["remedy"], reading.system)
    open_ = [one for one in unknown if not one["never_told"]]
    for one in open_:
        yield warning(NAME, f"{one['name']} is unknown: {one['note'] or 'not told'}", one["remedy"], reading.system)
    if not different and not open_:
        silent = "".join(f"; unknown, since it never tells: {one['name']}" for one in unknown)
        yield ok(NAME, f"{len(reading.of(Standing.SAME))} are as promised{silent}", reading.system)
