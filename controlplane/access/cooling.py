"""Whose vote may not count yet: who gives out accounts and passwords could otherwise be an approver, for as long as it takes to vote.

It is read of the action log: what somebody else did to an account (made it, gave it another password or the right to approve, let it in
again), and when. What the set-up did, which seeds people before anybody is there, is no deed of somebody's. Roles that a provider's
groups give are given by whoever looks after it: he could put himself among the approvers as an admin here could.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from controlplane.access.rights import Actor
from controlplane.store import tables as t
from rules.policy.kinds import format_duration
from rules.reach import Reach

SETUP = "setup"
"""Who makes the first people, as the action log has it; no account may have the name."""
DAY = timedelta(hours=24)
APPROVE = "policy.approve"
MADE = {"account.create": "made", "account.set_password": "gave another password to", "account.enable": "let in again"}
GIVEN = ("account.create", "account.roles")
"""What nobody does to his own account: under his own name the action log has it of a sign-in at the provider."""
PROVIDER = "the identity provider"
_DEEDS = (*MADE, "account.roles")
_QUERY = select(*t.action.c["at", "actor", "action", "before", "after"])


@dataclass(frozen=True, slots=True)
class Handling:
    """What somebody else did to an account by which he could vote as it."""

    at: datetime
    by: str
    what: str


def handlings(conn: Connection, name: str) -> Iterator[Handling]:
    """Yield what others did to an account, the oldest first."""
    a = t.action.c
    rows = conn.execute(_QUERY.where(a.subject == f"account/{name}", a.action.in_(_DEEDS)).order_by(a.seq))
    for row in rows:
        what = MADE.get(row.action) or ("gave the right to approve to" if _gives(row.before, row.after) else "")
        by = PROVIDER if row.actor == name and row.action in GIVEN else row.actor
        if what and by not in (SETUP, name):
            yield Handling(row.at, by, what)


def _gives(before: Any, after: Any) -> bool:
    """Whether other roles, another team or reach let somebody decide what he could not before."""
    was, now = _may_approve(before), _may_approve(after)
    return now and (not was or any(before.get(key) != after.get(key) for key in ("team", "reach")))


def _may_approve(values: Any) -> bool:
    given = values or {}
    actor = Actor("", frozenset(given.get("roles") or ()), reach=Reach.read(given.get("reach")))
    return APPROVE in actor.rights


def unready(conn: Connection, name: str, authors: frozenset[str], at: datetime, wait: timedelta) -> str:
    """Return why somebody's vote at an instant does not count, in words that follow on his name; nothing when it does.

    `authors`: whose work is voted on; `wait`: for how long an account is not believed after another's hands were on it.
    """
    found = [one for one in handlings(conn, name) if one.at <= at]
    own = next((one for one in found if one.by in authors), None)
    if own is not None:
        return f"does not count: '{own.by}', who {own.what} that account, wrote, edited or scheduled this; ask another approver"
    last = found[-1] if found else None
    if last is None or not wait or last.at + wait <= at:
        return ""
    until = (last.at + wait).isoformat(timespec="minutes")
    return (
        f"cannot vote until {until}: '{last.by}' {last.what} that account within the last {format_duration(wait)}; "
        "vote then, or ask another approver"
    )
