"""Says which promises a manifest cannot make, and what follows of each."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.connectors.declared.manifest import DeclaredWrite, FilesRead, Read, RestRead, Whole
from rules.model.messages import STATE_LIKE
from rules.outcomes import Guarantee


def shortfalls(document: Whole) -> Iterator[str]:
    """Yield each promise that cannot be made with this connector, and what follows of it."""
    for read in document.reads:
        yield from (f"reads {read.entity}: {told}" for told in _of_read(read))
    for write in document.writes:
        yield from (f"writes {write.entity}: {told}" for told in _of_write(write))
    if not document.can_be_pinged:
        yield "without `ping` it is not known whether the system answers before something is asked of it"
    yield "it hears no webhooks, and does not tell how its system is set: that takes a connector in Python"


def _of_read(read: Read) -> Iterator[str]:
    if isinstance(read, FilesRead):
        yield "a file is known by its name: a corrected file needs a new one"
    elif read.messages and read.since is None:
        yield "without `since` every poll reads everything"
    for told in read.messages:
        if told.type in STATE_LIKE and told.version is None:
            yield f"{told.type} has no `version`, so that each record of each poll is an event of its own, and its age cannot be told"
    if read.messages and not any(told.when or told.status for told in read.messages):
        yield "what is deleted there is not told by a poll"
    if isinstance(read, RestRead) and read.paging.kind in ("offset", "numbered"):
        yield f"rows that move while they are read by {read.paging.kind} are missed or repeated"
    if read.levels is not None and read.levels.source_at is None:
        yield "levels have no time of their own, so that a comparison leans on when they were read"
    if read.levels is None and any(told.type == "stock.level" for told in read.messages):
        yield "without `levels` its stock cannot be compared"


def _of_write(write: DeclaredWrite) -> Iterator[str]:
    if write.guarantee is Guarantee.NONE:
        yield "nothing protects it from taking effect twice; a flow of documents has to name the risk in `accept_risk`"
    if write.lookup is None and write.guarantee is Guarantee.KEYED:
        yield "it cannot be looked up: after a lost answer it is sent again under the same key, unproven"
    if write.lookup is None and write.guarantee is Guarantee.CONDITIONAL:
        yield "after a lost answer only the value shown tells, which somebody else may have set"
    if write.lookup is None and write.guarantee is Guarantee.NONE:
        yield "it cannot be looked up: a lost answer stays in doubt until a person decides"
