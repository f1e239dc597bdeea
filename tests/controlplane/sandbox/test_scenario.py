"""Scenario files: what is read, and how mistakes are named."""

from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.sandbox.__main__ import main
from controlplane.sandbox.scenario import ScenarioError, load_scenario, read_fault, read_scenario

GOOD = """
name: a day
expect: {lost: 0}
start: 2026-11-27T06:00:00Z
minutes: 150
retailer: {skus: 40, stores: [ST1], stock: [40, 120], safety: 3}
actors:
  customers: {orders_per_minute: 2, bursts: [{from: 60m, until: 90m, factor: 8}]}
  returns: {share: 0.05, after: [20m, 1h]}
faults:
  - {kind: lost_webhook, target: wms, topic: Inventory Update, probability: 0.2, from: 10m, until: 100m}
"""


def test_a_file_is_read_and_the_judges_keys_are_left_to_the_judge(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(GOOD)
    scenario = load_scenario(file)
    assert scenario.retailer.safety == 3
    assert scenario.actors.returns.after == (timedelta(minutes=20), timedelta(hours=1))
    assert scenario.faults[0].until == timedelta(minutes=100)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"actor": {}}, "actor"),
        ({"minutes": -1}, "minutes"),
        ({"actors": {"customers": {"orders_per_minute": "many"}}}, "actors.customers.orders_per_minute"),
        ({"actors": {"returns": {"after": ["soon", "1h"]}}}, "write 30s, 5m or 2h"),
        ({"retailer": {"stock": [9, 1]}}, "write [lowest, highest]"),
        ({"faults": [{"kind": "earthquake", "target": "wms"}]}, "faults.0.kind"),
        ({"faults": [{"kind": "latency", "target": "wms", "from": "9m", "until": "1m"}]}, "swap them"),
        ({"faults": [{"kind": "lost_webhook", "target": "erp"}]}, "sends no webhooks"),
        ([], "mapping"),
    ],
)
def test_a_mistake_names_key_and_remedy(document: object, named: str) -> None:
    with pytest.raises(ScenarioError, match=named.replace("[", r"\[")):
        read_scenario(document, "s.yaml")


def test_a_hand_edit_without_delta_is_refused() -> None:
    with pytest.raises(ScenarioError, match="delta"):
        read_fault({"kind": "hand_edit", "target": "shop"})


def test_an_invalid_scenario_ends_the_program_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("minuets: 3")
    assert main(["--port", "0", "--home", str(tmp_path), "--scenario", str(file)]) == 2
    assert "bad.yaml: minuets" in capsys.readouterr().err
