"""Lists in parts: each row once, whatever is added or ends meanwhile, and rows of one instant in a stable order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.views.findings import findings
from controlplane.views.incidents import incidents
from controlplane.views.paging import Stretch


def told(store: Store, clock: ManualClock, name: str, minutes: int = 0) -> None:
    """Write an incident that was opened so many minutes ago."""
    at = clock.now() - timedelta(minutes=minutes)
    row = {
        "id": name, "fingerprint": name, "open_key": name, "title": name, "severity": "page", "state": "open", "rule": "alert_rule/x",
        "owner": "team", "cause": "", "opened_at": at, "updated_at": at, "escalation_level": 0, "labels": {}, "policy_revision": "r",
    }  # fmt: skip
    with store.write() as conn:
        conn.execute(insert(t.incident).values(**row))


def test_each_row_is_read_once_though_others_come_and_go_meanwhile(store: Store, clock: ManualClock) -> None:
    names = [f"i{number}" for number in range(8)]
    for name in names:
        told(store, clock, name, minutes=5)  # all at one instant
    found: list[str] = []
    cursor = None
    while True:
        with store.read() as conn:
            part = incidents(conn, stretch=Stretch(3, cursor))
        found += [one.id for one in part.rows]
        if part.next is None:
            break
        cursor = part.next
        told(store, clock, f"new{len(found)}")
        with store.write() as conn:  # the row that the cursor was made of is gone
            conn.execute(delete(t.incident).where(t.incident.c.id == found[-1]))
    assert found == sorted(names, reverse=True)


def test_a_cursor_that_no_list_has_given_is_refused(store: Store, clock: ManualClock) -> None:
    for name in ("a", "b"):
        told(store, clock, name)
    with store.read() as conn:
        mine = incidents(conn, stretch=Stretch(1)).next
        assert mine is not None
        for cursor in ("", "x", "!!", mine[:-3], "bnVsbA", "WzFd"):
            with pytest.raises(BadInputError, match="begin without"):
                incidents(conn, stretch=Stretch(1, cursor))
        with pytest.raises(BadInputError, match="none that this list gives"):
            findings(conn, stretch=Stretch(1, mine))
