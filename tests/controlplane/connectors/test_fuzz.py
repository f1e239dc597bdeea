"""Whatever comes in is read or refused by a typed error: no parser of ours crashes, hangs, or takes memory without end.

Records of every connector under hypothesis; what reads bytes under atheris, which is guided by the branches that it reaches.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controlplane.connectors import catalogue
from controlplane.connectors.contract import Connector, Draft
from controlplane.connectors.envelope import open_envelope
from controlplane.connectors.markup import records
from controlplane.errors import BadInputError, ConnectorError
from controlplane.plugins import load
from rules.model.messages import parse
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.declared.test_sql_and_files import FORMS, stock_files

NOBODY = "http://127.0.0.1:1"  # what has to be looked up at the system is not found out: unavailable
OPTIONS: dict[str, dict[str, Any]] = {
    "amazon": {"seller": "A1", "marketplace": "ATVPDKIKX0DER", "location": "WH1", "fba_location": "FBA"},
    "netsuite": {"realm": "1", "currency": "USD", "locations": ["WH1"]},
    "shopify": {"locations": ["WH1"], "currency": "USD", "time_zone": "UTC"},
    "till_files": {"currency": "USD"},
    "tryton": {"database": "retail", "currency": "EUR", "locations": ["WH"]},
}
LEFT_OUT = frozenset({"avalara", "broker", "declared", "edi_x12", "kafka", "nats", "webhook"})
"""They translate nothing, or are tried by tests of their own: the envelope below, declared files below, test_x12_fuzz."""
BESIDE = {"till_files": ("z_report",)}
"""Topics of records that come with others."""
NAMES = sorted(set(catalogue.shipped()) - LEFT_OUT)
WORDS = (
    "id", "sku", "data", "object", "type", "order_id", "line_items", "quantity", "amount", "currency", "created_at", "updated_at",
    "header", "row", "proceeds", "breakdowns", "tax", "taxCollections", "source",
    "location_id", "inventory_counts", "state", "fulfillment", "name", "items", "price", "orders", "rows",
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=20) | st.sampled_from(
    ["2026-11-27T06:00:00Z", "12.34", "USD", "gid://shopify/Order/1", "-1", "NaN", "9" * 400, "2026-13-45"]
)  # fmt: skip
BODIES = st.dictionaries(
    st.sampled_from(WORDS) | st.text(max_size=8),
    st.recursive(
        LEAVES,
        lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(WORDS), one, max_size=5),
        max_leaves=12,
    ),
    max_size=6,
)


def connector_of(name: str) -> Connector:
    kind: type[Connector] = load("connectors", name)
    secrets = dict.fromkeys(kind.manifest.secrets, "secret")
    return kind(
        Given(NOBODY, secrets, OPTIONS.get(name, {"locations": ["WH1"]}), timeout=0.05).context(frozenset(secrets))
    )


def topics_of(connector: Connector) -> list[str]:
    polled = [spec.entity for spec in connector.manifest.reads if spec.changes]
    return [*connector.manifest.receives, *polled, *BESIDE.get(connector.manifest.name, ()), "something/else"]


def read(connector: Connector, topic: str, body: bytes) -> list[Draft]:
    """Translate, and hold what comes of it against the model, as the ledger does."""
    with suppress(BadInputError, ConnectorError):
        drafts = connector.translate(topic, body)
        for draft in drafts:
            parse(draft.type, draft.data)
        return drafts
    return []


@pytest.mark.parametrize("name", NAMES)
def test_any_record_of_any_topic_is_read_or_refused(name: str) -> None:
    connector = connector_of(name)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(
        st.sampled_from(topics_of(connector)),
        BODIES.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60),
    )
    @example(topics_of(connector)[0], b"[" * 100_000)
    @example(topics_of(connector)[0], b'{"a":' * 5_000 + b"1" + b"}" * 5_000)
    def whatever(topic: str, body: bytes) -> None:
        read(connector, topic, body)

    whatever()
    connector.close()


# --- bytes, guided by coverage ---
EVENT = {
    "specversion": "1.0", "id": "1", "source": "wms", "type": "stock.level", "subject": "A@WH", "time": "2026-03-02T09:00:00Z", "data": {},
}  # fmt: skip
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def an_envelope(told: bytes) -> None:
    with suppress(BadInputError):
        open_envelope(told, NOW)


def xml_records(told: bytes) -> None:
    with suppress(ConnectorError):
        list(records(told, "item", "a.xml"))


class AFile:
    """A declared folder whose one file is what was told."""

    def __init__(self, form: str, folder: Path) -> None:
        how = FORMS[form][1]
        self._file = folder / how["pattern"].replace("*", "stock_1")
        self._connector = stock_files(folder, form=form, **how)

    def __call__(self, told: bytes) -> None:
        self._file.write_bytes(told)
        with suppress(BadInputError, ConnectorError):
            list(self._connector.snapshot("stock"))


PLAIN = {
    "an_envelope": json.dumps(EVENT).encode(),
    "xml_records": b"<r xmlns:s='u'><s:item a='1'><b>2</b></s:item></r>",
}
HARNESS = """
import resource, sys, atheris
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))  # libFuzzer's own limit counts the peak of whoever started it
from pathlib import Path
with atheris.instrument_imports(include=["controlplane.connectors.envelope", "controlplane.connectors.markup",
                                         "controlplane.connectors.declared.files", "controlplane.connectors.declared.reading"]):
    from tests.controlplane.connectors import test_fuzz
name = sys.argv.pop(1)
target = getattr(test_fuzz, name, None) or test_fuzz.AFile(name, Path(sys.argv.pop(1)))
atheris.Setup(sys.argv, target)
atheris.Fuzz()
"""


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
@pytest.mark.parametrize("name", [*PLAIN, *FORMS])
def test_coverage_guided_bytes_find_no_way_to_fail(name: str, tmp_path: Path) -> None:
    corpus, folder = tmp_path / "corpus", tmp_path / "drop"
    corpus.mkdir()
    folder.mkdir()
    if name in PLAIN:
        (corpus / "0").write_bytes(PLAIN[name])
    else:
        FORMS[name][0](corpus / "0")
    harness = tmp_path / "harness.py"
    harness.write_text(HARNESS)
    where = [] if name in PLAIN else [str(folder)]
    bounds = ["-runs=1500", "-max_len=8192", "-rss_limit_mb=0", "-timeout=20", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, str(harness), name, *where, str(corpus), *bounds],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
