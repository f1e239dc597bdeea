"""Take records in: once each, as they came."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import Connection

from controlplane.clock import Clock
from controlplane.connectors.contract import Connector, Inbound, Record
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.store.upsert import insert_new
from rules.ids import new_id

CHUNK = 200


def take(connection: Connection, clock: Clock, system: str, channel: str, records: Sequence[Record]) -> int:
    """Keep the records that were not known yet; return how many. The caller's commit is the acknowledgement."""
    now = clock.now()
    taken = 0
    for start in range(0, len(records), CHUNK):
        rows = [
            {
                "id": new_id(now),
                "system": system,
                "channel": channel,
                "topic": record.topic,
                "event_key": record.event_key,
                "headers": dict(record.headers),
                "body": record.body,
                "received_at": now,
                "trace_id": secrets.token_hex(16),
                "state": "new",
            }
            for record in records[start : start + CHUNK]
        ]
        taken += len(insert_new(connection, t.intake, rows))
    return taken


def take_webhook(store: Store, clock: Clock, connector: Connector, inbound: Inbound) -> bool:
    """Verify a webhook and commit it; say whether it was new. Raises SignatureError before anything is stored."""
    record = connector.receive(inbound)
    with store.write() as connection:
        return take(connection, clock, connector.context.system, "webhook", [record]) == 1
