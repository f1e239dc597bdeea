"""Since when a suspicion is known to be one: when the rows that show it were read."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from controlplane.connectors.contract import Level
from controlplane.health.observations.comparison import Judged
from controlplane.health.observations.findings import seen_at
from rules.comparison.explain import Cause, Finding

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def read(**seconds: float | None) -> Judged:
    """What was read of each side, so many seconds from now; None: the side does not list the key."""
    levels = {
        side: None if when is None else Level("A", "WH1", 1, 1, None, at(when), at(when))
        for side, when in seconds.items()
    }
    read_at = {"erp": at(-40), "wms": at(-20), "shop": NOW}
    return cast("Judged", SimpleNamespace(levels=levels, read_at=read_at, source="wms"))


@pytest.mark.parametrize(
    ("cause", "since"),
    [
        (Cause.CHANGED_AT_TARGET, -50),  # its own row alone shows it
        (Cause.UNIT, -50),  # and so it is where it looks like another unit
        (Cause.NEVER_RECEIVED, -10),  # the other sides' rows belong to it
        (Cause.LATE, 0),  # the ledger alone shows it, as it stands now
        (Cause.MISSING, -40),  # no row tells when: it lacked the key when all of the side had been read
    ],
)
def test_a_suspicion_is_as_old_as_the_rows_that_show_it(cause: Cause, since: float) -> None:
    finding = Finding("erp", cause, 1, (2,), "")
    assert seen_at(read(erp=-50, wms=-30, shop=-10), finding, NOW) == at(since)


def test_what_the_side_of_record_shows_is_as_old_as_its_own_row() -> None:
    finding = Finding("wms", Cause.NEVER_RECEIVED, 1, (2,), "")
    assert seen_at(read(erp=-50, wms=-30, shop=-10), finding, NOW) == at(-30)


def test_a_row_is_never_read_later_than_now() -> None:
    finding = Finding("erp", Cause.CHANGED_AT_TARGET, 1, (2,), "")
    assert seen_at(read(erp=5), finding, NOW) == NOW


def test_without_a_row_it_is_seen_now() -> None:
    finding = Finding("erp", Cause.CHANGED_AT_TARGET, None, (2,), "")
    assert seen_at(read(erp=None), finding, NOW) == NOW
