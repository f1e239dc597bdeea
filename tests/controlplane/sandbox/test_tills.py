"""The drop folder over a kill: a file appears under its final name once, complete, or not at all."""

from pathlib import Path

from controlplane.sandbox.app import Sandbox, build
from controlplane.sandbox.clock import LiveClock
from controlplane.sandbox.records import Event
from controlplane.sandbox.scenario import read_scenario
from controlplane.sandbox.tills import Tills
from tests.controlplane.sandbox.conftest import quiet


def opened(home: Path) -> Sandbox:
    return build(home, LiveClock(), read_scenario(quiet()), seed=1, plane="http://127.0.0.1:9")


def sold_and_dropped(home: Path) -> Path:
    sandbox = opened(home)
    tills = Tills(sandbox.world)
    with sandbox.world.transaction():
        tills.sell("ST1", [(sandbox.world.catalogue.items[0], 1)])
        tills.drop(Event(id=1, due=sandbox.world.clock.now(), kind="till_drop", data={"store": "ST1"}))
    sandbox.engine.stop()
    (file,) = (home / "tills").iterdir()
    return file


def test_a_file_killed_before_its_rename_gets_its_name_at_the_next_start(tmp_path: Path) -> None:
    file = sold_and_dropped(tmp_path)
    file.rename(file.with_suffix(".part"))
    opened(tmp_path).engine.stop()
    assert [found.name for found in (tmp_path / "tills").iterdir()] == [file.name]


def test_a_file_killed_before_its_commit_is_written_anew(tmp_path: Path) -> None:
    file = sold_and_dropped(tmp_path)
    half = file.with_name(file.name.replace("_0001.csv", "_0002.part"))
    half.write_text("store;rec")
    opened(tmp_path).engine.stop()
    assert [found.name for found in (tmp_path / "tills").iterdir()] == [file.name]
