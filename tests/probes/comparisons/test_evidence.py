"""Keys are looked at in parts: every one once, in its order, and seldom those of two locations together."""

from hypothesis import given
from hypothesis import strategies as st

from probes.comparisons.evidence import FEWEST, TOGETHER, together


@given(st.lists(st.integers(1, 1500), max_size=5))
def test_parts_hold_every_key_once_and_end_where_the_location_does(counts: list[int]) -> None:
    keys = [(f"SKU-{number}", f"W{place}") for place, count in enumerate(counts) for number in range(count)]
    parts = list(together(keys))
    assert [key for part in parts for key in part] == keys
    for part in parts:
        assert 0 < len(part) <= TOGETHER
        last = [key for key in part if key[1] == part[-1][1]]
        assert len(part) - len(last) < FEWEST + max(counts)
        others = len(part) - len(last)
        assert others == 0 or sum(1 for key in part if key[1] == part[0][1]) < FEWEST


def test_small_locations_go_together() -> None:
    keys = [(f"SKU-{number}", f"W{place}") for place in range(10) for number in range(100)]
    assert [len(part) for part in together(keys)] == [300, 300, 300, 100]
