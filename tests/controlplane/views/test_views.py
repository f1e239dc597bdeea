"""Read models: what they say of a bad morning, and that no page costs more queries when there is more to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from controlplane.access import Actor
from controlplane.errors import NotFoundError
from controlplane.health.observations import Observation, record
from controlplane.registry.changes import Changes
from controlplane.store import tables as t
from controlplane.views import (
    business,
    findings,
    flows,
    incidents,
    installed,
    matrix,
    measured,
    messages,
    money,
    moving,
    overview,
    policies,
    quarantine,
    readings,
    systems,
)
from controlplane.views.personal import masked, readable
from controlplane.views.states import Light, worst
from controlplane.wiring import Plane
from rules.ids import new_id
from tests.dashboards.seed import Seed
from tests.web import a_plane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    """A plane with the sandbox's policies and no traffic."""
    with a_plane(tmp_path) as found:
        yield found


def counted(plane: Plane, ask: Callable[[Connection], Any]) -> tuple[int, Any]:
    """Return how many statements a view sends, and what it answers."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    with plane.store.read() as conn:
        event.listen(plane.store.engine, "before_cursor_execute", note)
        try:
            answer = ask(conn)
        finally:
            event.remove(plane.store.engine, "before_cursor_execute", note)
    return len(sent), answer


PARTS = (
    moving.arrived, moving.deliveries, moving.attempts, measured.observations, measured.verdicts, business.products,
    business.stock, business.stock_changes, business.target_levels, business.orders, business.postings, installed.runs,
)  # fmt: skip


def asks(plane: Plane) -> dict[str, Callable[[Connection], Any]]:
    """Every list and page that is there whether or not anything has happened."""
    snapshot, now = plane.registry.snapshot(), plane.clock.now()
    return {
        "overview": lambda conn: overview.overview(conn, snapshot, now),
        "flow": lambda conn: flows.flow(conn, snapshot, "orders", now),
        "flows": lambda conn: flows.flow_rows(conn, snapshot, now),
        "findings": findings.findings,
        "runs": findings.runs,
        "quarantine": quarantine.held,
        "incidents": incidents.incidents,
        "policies": policies.catalogue,
        "requests": policies.change_requests,
        "systems": lambda conn: systems.systems(conn, snapshot, now),
        "system": lambda conn: systems.system(conn, snapshot, "erp", now),
        "balances": money.balances,
        "messages": lambda conn: moving.messages(conn, snapshot, flow="orders"),
        "indicators": lambda conn: measured.indicators(conn, now),
        "service level": lambda conn: measured.service_level(conn, snapshot, "delivery-success", now),
        "comparison": lambda conn: measured.comparison(conn, snapshot, "stock-three-way"),
        "schedules": lambda conn: installed.schedules(conn, snapshot),
        **{ask.__name__: ask for ask in PARTS},
    }


def test_no_list_costs_more_queries_when_there_is_more_to_show(plane: Plane) -> None:
    empty = {name: counted(plane, ask)[0] for name, ask in asks(plane).items()}
    seed = Seed(plane)
    seed.everything()
    seed.business()
    one = {name: counted(plane, ask)[0] for name, ask in asks(plane).items()}
    for minutes in (2, 3, 4):
        at = seed.ago(minutes)
        message = seed.message("order.placed", "shop", f"#2{minutes}", at, {})
        seed.delivery(message, "orders", "erp", "sales_order", f"#2{minutes}", at, state="pending")
    assert {name: counted(plane, ask)[0] for name, ask in asks(plane).items()} == one == empty


def test_a_fresh_plane_is_unknown_and_never_well(plane: Plane) -> None:
    _, page = counted(plane, asks(plane)["overview"])
    tiles = {tile.key: tile for tile in page.tiles}
    assert tiles["overall"].value == "Not known"
    assert tiles["oversell"].light is tiles["mismatch"].light is Light.UNKNOWN
    assert {level.light for level in page.levels} == {Light.UNKNOWN}
    assert all(cell.light is not Light.OK for row in page.flows for cell in row.cells.values())


def test_the_overview_names_what_is_wrong_and_what_it_is_worth(plane: Plane) -> None:
    Seed(plane).everything()
    _, page = counted(plane, asks(plane)["overview"])
    tiles = {tile.key: (tile.value, tile.light) for tile in page.tiles}
    assert tiles["overall"] == ("Not now", Light.BREACH)
    assert tiles["money"] == ("110.50 EUR", Light.BREACH)
    assert tiles["mismatch"] == ("0.417 %", Light.BREACH)
    assert tiles["quarantine"] == ("1", Light.WARN)
    orders = next(row for row in page.flows if row.flow == "orders")
    assert (orders.late, orders.cells["erp"].word, orders.cells["wms"].light) == (1, "1 late", Light.OK)
    assert page.flows[0].light is Light.BREACH


def test_a_document_owed_to_two_targets_is_money_at_risk_once(plane: Plane) -> None:
    seed = Seed(plane)
    at = seed.ago(30)
    message = seed.message("order.placed", "shop", "#7", at, {})
    for target in ("erp", "wms"):
        seed.delivery(message, "orders", target, "order", "#7", at, state="pending", money="10.10", currency="EUR")
    _, owed = counted(plane, lambda conn: overview.money_owed(conn, plane.clock.now()))
    assert [(str(one.late), str(one.everything)) for one in owed] == [("10.10", "10.10")]


def test_a_verdict_that_nobody_renewed_is_unknown(plane: Plane) -> None:
    Seed(plane).verdicts()
    later = plane.clock.now() + timedelta(minutes=30)
    _, judged = counted(plane, lambda conn: overview.levels(conn, plane.registry.snapshot(), later))
    assert {level.light for level in judged} == {Light.UNKNOWN}


def run_of(seed: Seed, minutes: float, **more: Any) -> None:
    """A run of the stock comparison, by default over all keys and without a difference."""
    at = seed.ago(minutes)
    values = {
        "id": new_id(at), "comparison": "stock-three-way", "started_at": at, "finished_at": at, "state": "complete",
        "trigger": "schedule", "keys": 40, "agree": 39, "in_flight": 0, "suspected": 1, "drift": 0, "indeterminate": 0,
        "registry_version": 1,
    }  # fmt: skip
    seed.add(t.comparison_run, **(values | more))


def mismatch(plane: Plane) -> overview.Tile:
    """Return the tile that says whether systems agree about stock."""
    _, page = counted(plane, asks(plane)["overview"])
    return next(tile for tile in page.tiles if tile.key == "mismatch")


def test_a_second_reading_of_some_keys_and_a_run_that_goes_on_say_nothing_of_all_of_them(plane: Plane) -> None:
    seed = Seed(plane)
    run_of(seed, 3)
    run_of(seed, 2, state="partial", trigger="confirmation", keys=1, drift=1)
    run_of(seed, 1, state="failed", trigger="confirmation", keys=None)
    run_of(seed, 0, state="running", keys=None, finished_at=None)
    tile = mismatch(plane)
    assert (tile.value, tile.light) == ("0 %", Light.OK)
    assert tile.note.startswith("0 of 40 keys · 1 suspected · ")


def test_a_comparison_that_failed_or_has_not_run_for_long_is_unknown(plane: Plane) -> None:
    seed = Seed(plane)
    run_of(seed, 15)
    assert (mismatch(plane).light, mismatch(plane).note) == (Light.UNKNOWN, "last compared 15 min ago")
    run_of(seed, 1, state="failed", keys=None)
    assert mismatch(plane).light is Light.UNKNOWN


@pytest.mark.parametrize(("age", "steps", "minutes"), [(0, 5, 1), (12, 13, 1), (59, 60, 1), (60, 60, 1), (600, 60, 1)])
def test_the_axis_begins_with_the_first_observation_while_there_is_no_whole_window(
    plane: Plane, age: int, steps: int, minutes: int
) -> None:
    seed = Seed(plane)
    with plane.store.write() as conn:
        record(conn, [Observation("queue_depth", seed.ago(age), 1.0)])
    _, over = counted(plane, lambda conn: readings.known_axis(conn, seed.now, timedelta(hours=1)))
    assert (len(over.times), over.step) == (steps, timedelta(minutes=minutes))
    assert over.since <= seed.now < over.until
    began = seed.ago(age).replace(second=0, microsecond=0)
    assert over.began == (began if age < 60 and seed.now - began < timedelta(hours=1) else None)


def test_a_vote_before_an_edit_counts_for_nothing(plane: Plane) -> None:
    changes = Changes(plane.registry)
    ada, ben = Actor("ada", frozenset({"editor"})), Actor("ben", frozenset({"approver"}))
    document = plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["budget"] = "2d"
    made = changes.open("RetryPolicy", "default", document, "longer", "", ada)
    changes.submit(made.id, ada)
    changes.vote(made.id, ben, "approve")
    _, (before,) = counted(plane, lambda conn: policies.change_requests(conn).rows)
    changes.edit(made.id, document, ada)
    _, (after,) = counted(plane, lambda conn: policies.change_requests(conn).rows)
    assert (before["approvals"], after["approvals"]) == (1, 0)


def test_a_held_row_of_a_file_is_named_by_file_and_line(plane: Plane) -> None:
    Seed(plane).everything()
    _, (one,) = counted(plane, lambda conn: quarantine.held(conn).rows)
    assert one.about == "sales_ST1_77.csv, line 2"
    assert quarantine.about("#1001", {"lines": []}) == "#1001"


def test_a_message_tells_its_life_in_the_order_of_time(plane: Plane) -> None:
    ids = Seed(plane).everything()
    queries, life = counted(plane, lambda conn: messages.message_life(conn, ids["message"]))
    assert queries <= 7
    assert [step.at for step in life.steps] == sorted(step.at for step in life.steps)
    assert [step.kind for step in life.steps].count("attempt") == 5
    assert [one["type"] for one in life.derived] == ["stock.offer"]
    assert "somebody@example.org" not in life.intake["body"]


def test_a_finding_brings_its_evidence_and_its_heal(plane: Plane) -> None:
    ids = Seed(plane).everything()
    _, page = counted(plane, lambda conn: findings.finding(conn, ids["finding"]))
    assert set(page.evidence["read"]) == {"erp", "wms", "shop"}
    assert [write["payload"]["quantity"] for write in page.deliveries if write["payload"]] == [19]


@pytest.mark.parametrize(
    "ask",
    [
        lambda conn: messages.message_life(conn, "x"),
        lambda conn: findings.finding(conn, "x"),
        lambda conn: quarantine.case(conn, "x"),
        lambda conn: incidents.incident(conn, "x"),
        lambda conn: policies.policy(conn, "Flow", "x"),
        lambda conn: policies.change_request(conn, "x"),
    ],
)
def test_what_is_not_there_is_named(plane: Plane, ask: Callable[[Connection], Any]) -> None:
    with plane.store.read() as conn, pytest.raises(NotFoundError, match="x"):
        ask(conn)


def test_personal_and_secret_fields_are_masked_and_others_are_not() -> None:
    shown = masked({"email": "a@b.c", "lines": [{"sku": "A", "access_token": "t"}], "phone": None, "total": "1.00"})
    assert shown == {
        "email": "[hidden]",
        "lines": [{"sku": "A", "access_token": "[hidden]"}],
        "phone": None,
        "total": "1.00",
    }
    assert readable(b"x;somebody@example.org;1") == "x;[hidden];1"
    assert readable(b"x" * 5000).endswith("1,000 characters more")


def test_unknown_is_worse_than_well_and_nothing_known_is_unknown() -> None:
    assert worst([Light.OK, Light.UNKNOWN, Light.INFO]) is Light.UNKNOWN
    assert worst([]) is Light.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (119, "119 s"), (7200, "2 h"), (172800, "2 d")]
)
def test_ages_are_written_in_their_largest_unit(seconds: int, written: str) -> None:
    assert matrix.span(timedelta(seconds=seconds)) == written
