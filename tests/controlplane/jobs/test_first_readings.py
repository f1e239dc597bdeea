"""What is read first: what channels show, so that no offer is made of a level that is shown already."""

from datetime import timedelta
from pathlib import Path

from controlplane.clock import ManualClock
from controlplane.jobs.schedules import schedules
from controlplane.scenarios.policies import write_pack
from controlplane.scenarios.scenario import START
from controlplane.settings import load_settings
from controlplane.store import Store
from controlplane.wiring import build_plane
from rules.outcomes import Guarantee
from tests.controlplane.jobs.test_comparisons import Retailer, Slow
from tests.controlplane.sync.test_loop import SKU


def test_channels_are_read_before_any_flow_is(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, database_url="", engine="embedded", admin_password="")
    plane = build_plane(settings, ManualClock(START), write_pack(tmp_path / "policies", ()))
    try:
        names = [schedule.name for schedule in schedules(plane, timedelta(seconds=60))]
    finally:
        plane.close()
    flows = [at for at, name in enumerate(names) if name.startswith("poll:")]
    assert flows
    assert names.index("channel:shop") < min(flows)


def test_books_that_were_written_to_since_they_were_read_are_not_taken_for_known(
    store: Store, clock: ManualClock
) -> None:
    retailer = Retailer(store, clock)
    retailer.wms = wms = Slow("wms", clock, Guarantee.READABLE)
    retailer.warehouse(10)
    retailer.erp.levels[SKU, "WH1"] = 10
    retailer.shop.levels[SKU, "WH1"] = 8
    retailer.sync.healing.read_channel("shop")
    retailer.product(SKU, "4.00")
    retailer.tell()
    retailer.order("#1001", SKU, 2)
    retailer.sync.drain()

    def ship() -> None:
        clock.advance(30)
        retailer.shipment("SH1", "#1001", SKU, 2)
        retailer.sync.drain()
        retailer.erp.levels[SKU, "WH1"] -= 2
        clock.advance(30)

    wms.meanwhile_read = ship
    retailer.compare()
    retailer.warehouse(8)
    retailer.tell()
    retailer.sync.drain()
    retailer.compare()
    retailer.confirm(minutes=2.1)
    assert [found for found in retailer.findings() if found[0] == "erp"] == []
