"""What is owed is counted exactly, and along an index: its cost is that of counting entries, not of reading rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, update

from controlplane.clock import ManualClock
from controlplane.store import Store, backlog
from controlplane.store import tables as t
from tests.controlplane.health.kit import Retailer


def test_what_the_plane_still_has_to_finish_is_counted_by_target_and_flow_with_the_age_of_the_oldest(
    store: Store, clock: ManualClock
) -> None:
    retailer = Retailer(store, clock)
    held = retailer.delivery("orders", "erp", "#0", state="quarantined")
    clock.advance(10)
    oldest = clock.now()
    for state in ("pending", "sending", "unknown", "delivered", "superseded", "stale"):
        retailer.delivery("orders", "erp", f"#{state}", state=state)
        clock.advance(10)
    retailer.delivery("orders", "wms", "#1")
    retailer.delivery("shipments", "erp", "S1", state="quarantined")
    with store.read() as connection:
        found = backlog.waiting(connection)
        assert found["erp", "orders"] == (3, oldest)
        assert found["wms", "orders"].number == 1
        assert set(found) == {("erp", "orders"), ("wms", "orders")}
        assert backlog.quarantined(connection) == {("erp", "orders"): 1, ("erp", "shipments"): 1}
    with store.write() as connection:
        connection.execute(
            update(t.delivery).where(t.delivery.c.id == held).values(state="dropped", finished_at=oldest)
        )
        connection.execute(update(t.quarantine).where(t.quarantine.c.delivery_id == held).values(state="dropped"))
    with store.read() as connection:
        assert backlog.waiting(connection)["erp", "orders"] == (3, oldest)
        assert backlog.quarantined(connection) == {("erp", "shipments"): 1}


def test_counting_and_finding_the_oldest_go_by_the_index_of_what_is_not_finished(
    store: Store, clock: ManualClock
) -> None:
    Retailer(store, clock).delivery("orders", "erp", "#1")
    asked: list[tuple[str, Any]] = []

    def keep(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    event.listen(store.engine, "before_cursor_execute", keep)
    with store.read() as connection:
        backlog.waiting(connection)
    event.remove(store.engine, "before_cursor_execute", keep)
    plans = {statement: _plan(store, statement, values) for statement, values in asked if "finished_at" in statement}
    assert len(plans) == 2
    for statement, plan in plans.items():
        assert "ix_delivery_unfinished" in plan, plan
        if "count(" in statement and not store.is_sqlite:  # SQLite does not say that it leaves the row alone
            assert "Index Only Scan" in plan, plan


def _plan(store: Store, statement: str, values: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
    with store.read() as connection:
        if not store.is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a table of one row is read whole otherwise
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
        return "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {statement}", values))
