"""Keys are looked at in parts: every one once, in its order."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from probes.comparisons.evidence import TOGETHER, together


@given(st.integers(0, 3 * TOGETHER + 1))
def test_parts_hold_every_key_once_in_its_order(count: int) -> None:
    keys = [(f"SKU-{number}", "W1") for number in range(count)]
    parts = list(together(keys))
    assert [key for part in parts for key in part] == keys
    assert all(0 < len(part) <= TOGETHER for part in parts)


def test_a_comparison_of_what_was_read_loads_no_client_for_http_and_no_senders() -> None:
    heavy = {"httpx", "controlplane.sync.delivery", "controlplane.health.duties"}
    code = f"import sys, probes.comparisons.inventory; print({heavy} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
