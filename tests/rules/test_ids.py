"""Identifiers sort by time, and carry what RFC 9562 asks of version 7."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.ids import PLACE, fact, fingerprint, new_id

INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(INSTANTS, st.integers(min_value=1, max_value=10**9))
def test_an_id_of_a_later_millisecond_sorts_after_an_earlier_one(at: datetime, later: int) -> None:
    assert new_id(at) < new_id(at + timedelta(milliseconds=later + 1))


def test_ids_of_one_instant_keep_the_order_in_which_they_were_made() -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    made = [new_id(at) for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(INSTANTS)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_millisecond(at: datetime) -> None:
    found = UUID(new_id(at))
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert abs((found.int >> 80) - at.timestamp() * 1000) <= 1


def test_the_same_instant_told_in_another_zone_gives_the_same_millisecond() -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=-5)))
    assert UUID(new_id(at)).int >> 80 == UUID(new_id(elsewhere)).int >> 80


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        new_id(datetime(2026, 3, 2, 9))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("evt-000000999", "evt-000001000"),
        ("order.placed:shop:#9", "order.placed:shop:#10"),
        ("gid://shopify/Order/5551", "gid://shopify/Order/5552"),
        ("A-1@WH1:2026-03-02T09:59:59.5Z:7,3", "B-9@WH2:2026-03-02T10:00:00Z:5,1"),
        ("api:019cade2-7f00-7000-8000-ffffffffffff", "api:019cade2-7f01-7000-8000-000000000000"),
    ],
)
def test_facts_that_their_source_counts_stand_in_its_order(earlier: str, later: str) -> None:
    assert fact("shop", earlier) < fact("shop", later)


@given(st.text(max_size=250), st.text(max_size=250))
def test_a_fact_is_twenty_bytes_with_the_whole_fingerprint_whatever_the_key(source: str, key: str) -> None:
    made = fact(source, key)
    assert len(made) == 20
    assert made[PLACE:] == fingerprint(source, key)
    assert made == fact(source, key)


def test_facts_with_one_place_are_told_apart() -> None:
    assert len({fact("shop", f"x{letter}") for letter in "abc"} | {fact("till", "xa")}) == 4
