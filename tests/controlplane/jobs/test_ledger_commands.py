"""`trueup ledger` where no plane runs: it opens the store itself, on either database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from controlplane.audit import verify
from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, UnavailableError
from controlplane.jobs.commands import app
from controlplane.store import Store
from controlplane.store import tables as t
from controlplane.sync.ledger.archive import Wanted
from tests.controlplane.sync.archive.kit import LONG, TABLES, history, house_of, ids_in, restorer
from tests.controlplane.sync.kit import House

Command = Callable[..., Any]


@pytest.fixture
def house(store: Store, clock: ManualClock, tmp_path: Path) -> House:
    """A retailer that archives, after a busy day that is long over."""
    house = house_of(store, clock, tmp_path, archive=f"file://{tmp_path}/archive")
    history(house)
    house.clock.advance(LONG.total_seconds())
    return house


@pytest.fixture
def command(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `trueup ledger …` on the house's store; return what it says, read when it is JSON."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRUEUP_DATABASE_URL", house.store.engine.url.render_as_string(hide_password=False))

    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.output) if "--json" in words else done.output

    return run


def kept(house: House) -> dict[str, int]:
    """How many rows each table of the ledger holds."""
    with house.store.read() as connection:
        return {table: len(ids_in(connection, table)) for table in TABLES}


def test_what_is_old_is_shown_archived_listed_and_put_back(house: House, command: Command, tmp_path: Path) -> None:
    before = kept(house)
    plan = command("archive", "--json")
    assert {one["kind"] for one in plan} == {"attempts", "cases", "messages", "raw"}
    assert {one["archive"] for one in plan} == {f"file://{tmp_path}/archive"}
    assert kept(house) == before, "it was only shown"
    shown = command("archive").splitlines()
    assert len(shown) == len(plan) + 1, "a line for each, and a head"

    command("archive", "--now", "--json")
    after = kept(house)
    assert after["message"] < before["message"]
    assert after["attempt"] < before["attempt"]

    parts = command("parts", "--json")
    assert {one["state"] for one in parts} == {"done"}
    newest = command("parts", "--limit", "1", "--json")
    assert newest == parts[:1]
    moved = next(one for one in parts if one["kind"] == "messages" and one["uri"])
    assert moved["uri"] in command("parts")
    command("restore", moved["uri"], "--keep", "2d", "--json")
    assert after["message"] < kept(house)["message"] <= before["message"]
    with house.store.read() as connection:
        assert verify(connection) == []
        wanted = select(t.action.c.action, t.action.c.actor).where(t.action.c.action.like("ledger.%"))
        deeds = connection.execute(wanted.order_by(t.action.c.seq)).all()
    assert [(row.action, row.actor.partition(" ")[0]) for row in deeds] == [
        ("ledger.archive", "console"), ("ledger.restore", "console"),
    ]  # fmt: skip


def test_restore_tells_its_own_part_and_not_what_else_is_put_back(house: House, command: Command) -> None:
    command("archive", "--now")
    parts = {one["kind"]: one for one in command("parts", "--json") if one["uri"]}
    mine, other, broken = (parts[kind] for kind in ("messages", "attempts", "raw"))
    for part in (other, broken):
        restorer(house).ask(part["uri"], Wanted(), LONG, "olga")
    shutil.rmtree(broken["uri"].removeprefix("file://"))
    told = command("restore", mine["uri"], "--json")
    expected = {"part": mine["id"], "uri": mine["uri"], "state": "done", "there": 0}
    assert {name: told[name] for name in expected} == expected
    assert told["rows"] == mine["tables"]
    assert f"there already: {mine['rows']}" in command("restore", mine["uri"])
    with pytest.raises(BadInputError, match="there is no part"):
        command("restore", broken["uri"])
    now = {one["kind"]: one["restored"] for one in command("parts", "--json") if one["uri"]}
    assert now["attempts"]["rows"] == other["tables"]
    assert now["raw"]["state"] == "failed"


def test_a_part_that_cannot_be_put_back_says_why(house: House, command: Command) -> None:
    command("archive", "--now")
    [part] = [one for one in command("parts", "--json") if one["kind"] == "messages" and one["uri"]][-1:]
    (Path(part["uri"].removeprefix("file://")) / "message.parquet").unlink()
    with pytest.raises(UnavailableError, match=r"message.parquet is missing"):
        command("restore", part["uri"])


def test_a_part_that_is_not_there_and_a_wrong_time_are_refused(command: Command) -> None:
    with pytest.raises(BadInputError, match="file:///nowhere lies in no archive"):
        command("restore", "file:///nowhere")
    command("archive", "--now")
    [uri, *_] = [one["uri"] for one in command("parts", "--json") if one["uri"]]
    with pytest.raises(BadInputError, match="since"):
        command("restore", uri, "--since", "yesterday")
    with pytest.raises(BadInputError, match="keep"):
        command("restore", uri, "--keep", "a while")
