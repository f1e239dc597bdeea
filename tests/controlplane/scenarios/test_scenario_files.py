"""Scenario files: what is refused, with file, key, rule and remedy; and that ours can be played."""

from pathlib import Path

import pytest

from controlplane.scenarios.scenario import ScenarioError, find, load, shipped

NAMES = ("black-friday", "erp-outage", "hand-edit", "live-traffic", "lost-webhooks", "quiet-day")


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_six_scenarios_come_with_trueup_and_say_what_they_are() -> None:
    assert tuple(shipped()) == NAMES
    assert all(load(path).description for path in shipped().values())


def test_a_scenario_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    assert find("quiet-day") == shipped()["quiet-day"]
    assert find(str(written(tmp_path, "minutes: 5"))).name == "mine.yaml"


def test_a_name_that_is_neither_lists_those_there_are() -> None:
    with pytest.raises(ScenarioError, match=r"quiet-week.*one of: black-friday, .*quiet-day"):
        find("quiet-week")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a scenario is one mapping"),
        ("minutes: [", r"mine.yaml:1:\d+: .*correct the YAML"),
        ("seed: 3", "mine.yaml:1: minutes: is required"),
        ("minutes: 5\nfault: []", "mine.yaml:2: fault: no such key; remove it"),
        ("minutes: 0", "mine.yaml:1: minutes: .*greater than 0"),
        ("minutes: 5\nstart: 2026-11-27T06:00:00", "mine.yaml:2: start: .*timezone"),
        ("minutes: 5\nexpect: {incidents: [{rule: queue-age}]}", "mine.yaml:2: expect.incidents.0.rule: .*pattern"),
        ("minutes: 5\nexpect: {findings: {lost: 1}}", "no such cause: lost; there are: .*never_received"),
        ("minutes: 5\nexpect: {quarantined: {least: 1}}", "mine.yaml:2: expect.quarantined.least: no such key"),
        ("minutes: 5\npolicies: [{kind: Wish, metadata: {name: x}, spec: {}}]", "no such kind of policy"),
        ("minutes: 5\npolicies: [{kind: Flow, metadata: {}, spec: {}}]", "names no document; give metadata.name"),
    ],
)
def test_what_is_wrong_is_named_with_file_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        load(written(tmp_path, text))


def test_a_plain_number_of_quarantined_records_means_exactly_that_many(tmp_path: Path) -> None:
    bounds = load(written(tmp_path, "minutes: 5\nexpect: {quarantined: 2}")).expect.quarantined
    assert [bounds.holds(number) for number in (1, 2, 3)] == [False, True, False]
    assert str(bounds) == "2"


def test_a_shortened_scenario_leaves_out_faults_that_would_begin_later(tmp_path: Path) -> None:
    text = "minutes: 60\nfaults: [{kind: down, target: erp, from: 5m}, {kind: down, target: erp, from: 1h}]"
    short = load(written(tmp_path, text)).shortened(10)
    assert short.minutes == 10
    assert [fault["from"] for fault in short.faults] == ["5m"]
