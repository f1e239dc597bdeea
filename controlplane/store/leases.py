"""What only one process may do at a time. A lease that is not renewed runs out, so a process that is gone holds nothing up."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, or_, update

from controlplane.clock import Clock
from controlplane.store.engine import Store
from controlplane.store.tables import lease
from controlplane.store.upsert import insert_new


def take(store: Store, clock: Clock, name: str, owner: str, lasting: timedelta) -> bool:
    """Take or renew a lease; say whether it is ours now."""
    c, now = lease.c, clock.now()
    with store.write() as connection:
        free = update(lease).where(c.name == name, or_(c.owner == owner, c.until < now))
        if connection.execute(free.values(owner=owner, until=now + lasting)).rowcount == 1:
            return True
        return bool(insert_new(connection, lease, [{"name": name, "owner": owner, "until": now + lasting}]))


def give_back(store: Store, name: str, owner: str) -> None:
    """Let others have a lease that is ours."""
    with store.write() as connection:
        connection.execute(delete(lease).where(lease.c.name == name, lease.c.owner == owner))
