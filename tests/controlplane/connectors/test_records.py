"""Records as they come in: what no two readers would understand alike is refused, whatever system told it."""

from __future__ import annotations

import pytest

from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"sku": "A", "qty": 5, "qty": 7}', "'qty' stands twice"),
        (b'{"lines": [{"qty": 5, "qty": 5}]}', "'qty' stands twice"),
        (b'{"qty": NaN}', "NaN is not JSON"),
        (b'{"qty": -Infinity}', "-Infinity is not JSON"),
        (b"[1]", "not an object"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_ambiguous_or_no_json_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadInputError, match=why):
        read_json(body)


def test_numbers_are_read_as_they_always_were() -> None:
    assert read_json(b'{"price": 1.5, "qty": 5}') == {"price": 1.5, "qty": 5}
