"""What is read first: what channels show, so that no offer is made of a level that is shown already."""

from datetime import timedelta
from pathlib import Path

from controlplane.clock import ManualClock
from controlplane.jobs.schedules import schedules
from controlplane.scenarios.policies import write_pack
from controlplane.scenarios.scenario import START
from controlplane.settings import load_settings
from controlplane.wiring import build_plane


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
