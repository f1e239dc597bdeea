"""Identifiers sort by time, and carry what RFC 9562 asks of version 7."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.ids import new_id

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
