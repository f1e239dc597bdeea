"""Numbers that what is sent bears, kept in a real store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event

from controlplane.clock import ManualClock
from controlplane.connectors.contract import NoNumbers
from controlplane.connectors.numbers import TOGETHER, StoredNumbers
from controlplane.errors import NotFoundError, SettingsError
from controlplane.store import Store
from tests.controlplane.connectors.conftest import START

CLOCK = ManualClock(START)


def test_the_same_key_has_the_same_number_and_another_the_next(store: Store) -> None:
    numbers = StoredNumbers(store, CLOCK, "3pl")
    assert [numbers.take("control", key).value for key in ("a", "b", "a")] == [1, 2, 1]
    assert StoredNumbers(store, CLOCK, "3pl").take("control", "b").value == 2


def test_several_are_numbered_with_one_way_there_and_back_and_those_that_have_a_number_keep_it(store: Store) -> None:
    numbers = StoredNumbers(store, CLOCK, "3pl")
    numbers.take("control", "b")
    keys = ["a", "b", "c", "a", *(f"k{number}" for number in range(TOGETHER))]
    told: list[str] = []

    def note(*given: Any) -> None:
        told.append(given[2])

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        found = [one.value for one in numbers.take_all("control", keys)]
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    assert found[:4] == [2, 1, 3, 2]
    assert found[4:] == list(range(4, 4 + TOGETHER))
    if not store.is_sqlite:  # there is no way there and back, and each row goes by itself
        assert sum("INSERT" in one for one in told) == 2, "of so many rows that two statements are needed"
    numbers.use_all("control", keys)
    assert all(one.used_at for one in numbers.find_all("control", keys).values())
    with pytest.raises(NotFoundError, match="'none' has no number"):
        numbers.use_all("control", ["a", "none"])


def test_workers_that_number_many_beside_each_other_never_take_the_same_number(store: Store) -> None:
    batches = [[f"k{number}" for number in range(at, at + 60)] for at in range(0, 200, 20)]
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda keys: StoredNumbers(store, CLOCK, "3pl").take_all("control", keys), batches))
    taken = {
        (key, one.value) for keys, told in zip(batches, found, strict=True) for key, one in zip(keys, told, strict=True)
    }
    assert len({key for key, _ in taken}) == len(taken) == len({value for _, value in taken}) == 240


def test_systems_and_series_count_by_themselves(store: Store) -> None:
    StoredNumbers(store, CLOCK, "3pl").take("control", "a")
    assert StoredNumbers(store, CLOCK, "other").take("control", "z").value == 1
    assert StoredNumbers(store, CLOCK, "3pl").take("another", "z").value == 1


def test_a_number_is_unused_until_it_is_said(store: Store) -> None:
    numbers = StoredNumbers(store, CLOCK, "3pl")
    assert numbers.find("control", "a") is None
    assert numbers.take("control", "a").used_at is None
    numbers.use("control", "a")
    found = numbers.find("control", "a")
    assert found is not None
    assert found.used_at == CLOCK.now()


def test_what_has_no_number_cannot_be_used(store: Store) -> None:
    with pytest.raises(NotFoundError, match="take one before it is used"):
        StoredNumbers(store, CLOCK, "3pl").use("control", "a")


def test_workers_beside_each_other_never_take_the_same_number(store: Store) -> None:
    keys = [f"k{number % 40}" for number in range(160)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda key: (key, StoredNumbers(store, CLOCK, "3pl").take("control", key).value), keys))
    assert len(set(taken)) == 40
    assert {number for _, number in taken} == set(range(1, 41))


def test_without_a_store_the_refusal_says_why() -> None:
    with pytest.raises(SettingsError, match="write through a running plane"):
        NoNumbers().take("control", "a")
