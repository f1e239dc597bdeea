"""No malformed file makes the X12 reader fail in a way that it does not say: typed errors with a place, and work that ends."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.connectors.builtin.edi_x12 import acks, drafts, records, writer
from controlplane.connectors.builtin.edi_x12.partner import profile_of
from controlplane.connectors.builtin.edi_x12.reader import EdiError, read
from controlplane.connectors.builtin.edi_x12.syntax import content
from controlplane.connectors.contract import Context
from controlplane.connectors.records import read_json
from controlplane.errors import BadInputError
from tests.controlplane.connectors.conftest import START, Given
from tests.controlplane.connectors.x12_kit import OPTIONS, RECEIVED, SHIPPED, STOCK, interchange, one_set, said_997

NOTICE = ("BSN*00*S-9*20261127*0600*0001", "HL*1**S", "HL*2*1*O", "PRF*#1", "HL*3*2*I", "LIN**VN*SKU-1", "SN1**2*EA")
SEEDS = (
    interchange(one_set("945", *SHIPPED), one_set("945", *SHIPPED, control="0002")),
    interchange(one_set("944", *RECEIVED), group="RE"),
    interchange(one_set("846", *STOCK), group="IB"),
    interchange(one_set("856", *NOTICE), group="SH"),
    interchange(one_set("000", "BIN*4*a~*b"), group="SW"),
    said_997(7, "AK2*940*0001", "AK3*W01*8**8", "AK4*5**7*x", "AK5*R*5", "AK9*R*1*1*0"),
)
CONTEXT: Context = Given("/nowhere", {}, OPTIONS).context()
PROFILE = profile_of(CONTEXT)


def whole_way(given_bytes: bytes) -> None:
    """All that is done with what comes in, from bytes to messages and to the answer."""
    try:
        interchanges = read(given_bytes)
    except EdiError as error:
        record = records.of_file("a.edi", given_bytes, error)
        told(record.topic, record.body)
        return
    acks.verdicts(interchanges, "OW")
    for one in interchanges:
        tas, sets = acks.lines_of(acks.told_of(one))
        answer = writer.interchange(PROFILE, 1, START, "FA", sets, tas)
        (again,) = read(answer)
        assert not again.flaws
        for record in records.of_interchange("a.edi", one, ""):
            told(record.topic, record.body)


def told(topic: str, body: bytes) -> None:
    record: dict[str, Any] = read_json(body)
    try:
        records.refused_of(record)
        kind, segments = topic.partition("/")[2], records.segments_of(record)
        if kind in drafts.READERS and not content(kind, segments):
            drafts.read(kind, segments, CONTEXT.codes, PROFILE, CONTEXT.system)
    except BadInputError:
        pass  # it waits in quarantine


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(given_bytes: bytes) -> None:
    whole_way(given_bytes)


@given(st.binary(max_size=300).map(lambda tail: SEEDS[0][:106] + tail))
def test_any_bytes_behind_a_good_isa_are_read_or_refused(given_bytes: bytes) -> None:
    whole_way(given_bytes)


Edit = Callable[[bytes], bytes]
PIECES = st.binary(min_size=1, max_size=3) | st.sampled_from(
    [
        b"~",
        b"*",
        b"\n",
        b"ISA",
        b"GS*",
        b"ST*945*1~",
        b"SE*1*1~",
        b"IEA*1*1~",
        b"BIN*999999999*",
        b"LIN**VN*~",
        b"9" * 30,
        b"\xff",
        b"-",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good file that was cut, doubled, or written over at some places."""
    told = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(told)))
        end = min(len(told), start + draw(st.integers(0, 40)))
        told = told[:start] + draw(st.just(b"") | PIECES | st.just(told[start:end] * 2)) + told[end:]
    return told


@settings(max_examples=400)
@given(mutated())
def test_a_good_file_gone_bad_is_read_or_refused(given_bytes: bytes) -> None:
    whole_way(given_bytes)


@pytest.mark.parametrize(
    "given_bytes",
    [
        SEEDS[0] * 2000,
        SEEDS[0][:106] + b"~" * 1_000_000,
        SEEDS[0][:106] + b"*" * 1_000_000,
        SEEDS[0][:105] + b"\n" + b"\n" * 1_000_000,
        SEEDS[0][:40] + b"\n" * 1_000_000,
        SEEDS[0][:106] + b"\nST*1*1~" * 100_000,
        SEEDS[0][:106] + b"BIN*" + b"9" * 1_000_000,
    ],
    ids=[
        "many interchanges",
        "terminators",
        "one segment",
        "line ends",
        "a wrapped isa",
        "unopened sets",
        "a length without end",
    ],
)
def test_large_nonsense_takes_time_and_room_in_proportion(given_bytes: bytes) -> None:
    told = ""
    try:
        found = len(read(given_bytes))
    except EdiError as error:
        found, told = 0, str(error)
    assert found == 2000 or 0 < len(told) < 500


def test_a_file_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(EdiError, match="at most 16777216 are read; split it"):
        read(b" " * (16 * 2**20 + 1))


HARNESS = """
import resource, sys, atheris
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))  # libFuzzer's own limit counts the peak of whoever started it
with atheris.instrument_imports(include=["controlplane.connectors.builtin.edi_x12"]):
    from tests.controlplane.connectors.test_x12_fuzz import whole_way
atheris.Setup(sys.argv, whole_way)
atheris.Fuzz()
"""


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
def test_coverage_guided_mutations_find_no_way_to_fail(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    harness = tmp_path / "harness.py"
    harness.write_text(HARNESS)
    arguments = [
        sys.executable,
        str(harness),
        str(corpus),
        "-runs=10000",
        "-rss_limit_mb=0",
        "-timeout=20",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0, done.stderr[-3000:]
