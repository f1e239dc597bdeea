"""What became of messages that a rule refused: told by the newest of their cases, not by the first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, select

from controlplane.store import tables as t
from controlplane.sync.quarantine.cases import SUPERSEDED
from rules.replay import Became

MOST = 20
"""How often one record is followed from a replay to the next; whoever replays it more often is told to look at it."""


def became_of(connection: Connection, ids: Iterable[str]) -> dict[str, Row[Any] | Became]:
    """Return, for messages in quarantine, the message that each was replayed as in the end, or what else came of it."""
    found: dict[str, Row[Any] | Became] = {}
    at = {identity: identity for identity in ids}
    for _ in range(MOST):
        if not at:
            break
        ended, replayed = _cases(connection, at)
        there = _messages(connection, replayed.values())
        gone = {asked: Became.ALREADY_DELIVERED for asked, now in replayed.items() if now not in there}
        again = {asked: now for asked, now in replayed.items() if now in there and there[now].state == "quarantined"}
        passed = {asked: there[now] for asked, now in replayed.items() if now in there and asked not in again}
        found |= ended | gone | passed  # what is gone had come to its end, or retention would have kept it
        at = again
    return found | dict.fromkeys(at, Became.NEEDS_PERSON)


def _cases(connection: Connection, at: dict[str, str]) -> tuple[dict[str, Row[Any] | Became], dict[str, str]]:
    """Return what ended with the newest case of each (by who asked), and what was replayed: as which message."""
    q = t.quarantine.c
    query = select(q.message_id, q.state, q.closed_by, q.replayed_as).where(q.message_id.in_(set(at.values())))
    newest = {row.message_id: row for row in connection.execute(query.where(q.stage == "process").order_by(q.id))}
    ended: dict[str, Row[Any] | Became] = {}
    replayed: dict[str, str] = {}
    for asked, now in at.items():
        case = newest.get(now)
        if case is not None and case.state == "replayed" and case.replayed_as:
            replayed[asked] = case.replayed_as
        else:
            overtaken = case is not None and case.closed_by == SUPERSEDED
            ended[asked] = Became.SUPERSEDED if overtaken else Became.NEEDS_PERSON
    return ended, replayed


def _messages(connection: Connection, ids: Iterable[str]) -> dict[str, Row[Any]]:
    wanted = set(ids)
    query = select(t.message).where(t.message.c.id.in_(wanted))
    return {row.id: row for row in connection.execute(query)} if wanted else {}
