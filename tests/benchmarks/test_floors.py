"""The floors and the fillings write what the plane's own tables take, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, Table, func, inspect, select

from benchmarks.dispatch import fill, floors, jobs, rows
from controlplane.store import Store
from controlplane.store import tables as t


@pytest.fixture
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[jobs.Times]:
    monkeypatch.setenv(jobs.TIMES, str(tmp_path / "times"))
    jobs.clock_face.cache_clear()
    yield jobs.Times(tmp_path / "times", 100)
    jobs.clock_face.cache_clear()


def address(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def count(store: Store, table: Table, *where: ColumnElement[bool]) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


def test_a_message_has_some_400_bytes_and_carries_its_number() -> None:
    assert 360 <= len(jobs.event(123456)) <= 440
    assert jobs.sequence(jobs.data(123456)) == 123456


def test_the_accept_floor_writes_one_intake_row_a_body_and_one_message_a_line(store: Store) -> None:
    made = floors.floor(address(store), 10)
    for body in jobs.batches(0, 25, 10):
        made.accept(*rows.accepted(body))
    assert count(store, t.intake) == 3
    with store.read() as connection:
        found = connection.execute(select(t.message).order_by(t.message.c.subject)).all()
    assert [row.subject for row in found] == [jobs.reference(number) for number in range(25)]
    assert found[7].data == jobs.data(7)
    made.close()


def test_the_deliver_floor_leaves_every_due_delivery_delivered_with_its_attempt(
    store: Store, times: jobs.Times
) -> None:
    fill.due(address(store), 25)
    made = floors.floor(address(store), 10)
    finished: list[dict[str, object]] = []
    while taken := made.turn(finished):
        finished = [floors.send(*one) for one in taken]
    assert count(store, t.delivery, t.delivery.c.state == "delivered", t.delivery.c.fence == 1) == 25
    assert count(store, t.attempt, t.attempt.c.outcome == "delivered") == 25
    assert all(times.at[number] > 0 for number in range(25))
    made.close()


def test_what_is_filled_in_by_the_series_reads_back_as_the_plane_would_have_written_it(store: Store) -> None:
    fill.due(address(store), 12, start=5)
    with store.read() as connection:
        found = connection.execute(select(t.delivery).order_by(t.delivery.c.id)).all()
        messages = connection.execute(select(t.message.c.id, t.message.c.subject).order_by(t.message.c.id)).all()
    assert [jobs.sequence(row.payload) for row in found] == list(range(5, 17))
    assert [row.message_id for row in found] == [row.id for row in messages]
    assert {row.state for row in found} == {"pending"}
    assert messages[0].subject == found[0].order_key == jobs.reference(5)


def indexes(store: Store) -> dict[str, list[tuple[str, ...]]]:
    found = {name: inspect(store.engine).get_indexes(name) for name in ("message", "delivery", "attempt")}
    store.engine.dispose()
    return {
        name: sorted(
            (str(one["name"]), str(one["column_names"]), str(one["unique"]), *map(str, one["dialect_options"].values()))
            for one in each
        )
        for name, each in found.items()
    }


def test_a_large_filling_leaves_the_same_indexes_as_before(store: Store) -> None:
    before = indexes(store)
    fill.history(address(store), 40, rebuild_from=10)
    assert indexes(store) == before
    assert any("'pending'" in part for one in before["delivery"] for part in one)
    assert count(store, t.message) == count(store, t.delivery) == count(store, t.attempt) == 40


def test_a_new_column_that_must_not_be_null_is_asked_for_by_name() -> None:
    with pytest.raises(KeyError, match=r"delivery\.order_key .*rows\.py"):
        rows.complete(
            t.delivery, {"id": "x", "message_id": "x", "flow": "f", "target": "t", "entity": "e", "subject": "s"}
        )
