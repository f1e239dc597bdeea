"""Numbers of every whole type are kept exactly, or refused by name; taking in what changed loads no more than it needs."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from probes.comparisons.snapshots.model import SnapshotError
from probes.comparisons.snapshots.numbers import LARGEST, as_whole
from probes.comparisons.snapshots.state import _last_of_each

WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


@pytest.mark.parametrize("kind", WHOLE, ids=str)
def test_a_whole_number_of_any_type_is_the_same_one(kind: pa.DataType) -> None:
    least = 0 if str(kind).startswith("u") else -7
    found, places = as_whole(pa.chunked_array([[least], [], [100]], type=kind), "erp.on_hand")
    assert (found.dtype, found.tolist(), places) == (np.int64, [least, 100], 0)


@pytest.mark.parametrize(
    ("kind", "value"), [(pa.uint64(), 2**64 - 1), (pa.int64(), LARGEST + 1), (pa.int64(), -LARGEST - 1)]
)
def test_a_number_whose_distances_would_not_fit_is_refused_by_name(kind: pa.DataType, value: int) -> None:
    with pytest.raises(SnapshotError, match=r"erp\.on_hand has a value beyond"):
        as_whole(pa.chunked_array([[1, value]], type=kind), "erp.on_hand")


@pytest.mark.parametrize(("keys", "places"), [([], []), ([5], [0]), ([3, 1, 3, 2, 1], [4, 3, 2])])
def test_of_several_rows_of_a_key_the_last_is_found(keys: list[int], places: list[int]) -> None:
    assert _last_of_each(np.array(keys, np.int64)).tolist() == places


def test_a_state_is_opened_without_what_only_a_whole_comparison_needs() -> None:
    heavy = {"pyarrow.compute", "concurrent.futures", "logging", "numpy.ma", "probes.comparisons.answer"}
    code = f"import sys, probes.comparisons.snapshots.state; print({heavy} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
