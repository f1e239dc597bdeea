"""Keys are looked at in parts: every one once, in its order."""

from hypothesis import given
from hypothesis import strategies as st

from probes.comparisons.evidence import TOGETHER, together


@given(st.integers(0, 3 * TOGETHER + 1))
def test_parts_hold_every_key_once_in_its_order(count: int) -> None:
    keys = [(f"SKU-{number}", "W1") for number in range(count)]
    parts = list(together(keys))
    assert [key for part in parts for key in part] == keys
    assert all(0 < len(part) <= TOGETHER for part in parts)
