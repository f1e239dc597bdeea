"""A whole plane and the sandbox retailer on one clock: played end to end, and taken down again."""

import json
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from controlplane.scenarios.judge.report import judge
from controlplane.scenarios.runner import play
from controlplane.scenarios.scenario import Scenario, ScenarioError, find, load, shipped

TWO_MINUTES = "minutes: 2\nretailer: {skus: 4, stores: [ST1]}\nactors: {customers: {orders_per_minute: 3}}\n"


def reasons(name: str, seed: int) -> list[str]:
    scenario = load(find(name))
    report = judge(play(scenario, seed), scenario.expect)
    return [
        f"{check.name}: {reason}" for check in report.checks if not check.holds for reason in check.reasons or ("",)
    ]


def test_a_quiet_day_cut_to_twenty_minutes_holds_every_expectation() -> None:
    scenario = load(find("quiet-day")).shortened(20)
    evidence = play(scenario, seed=1)
    report = judge(evidence, scenario.expect)
    assert [check for check in report.checks if not check.holds] == []
    assert evidence.plane.accepted > 50
    assert any(event["kind"] == "effect" for event in evidence.journal)


def test_the_sandboxs_refusal_of_a_scenario_is_passed_on(tmp_path: Path) -> None:
    scenario = Scenario(name="mine", minutes=1, actors={"customers": {"orders_per_hour": 2}})
    with pytest.raises(ScenarioError, match=r"actors\.customers\.orders_per_hour"):
        play(scenario, seed=1)


def test_policies_of_the_scenario_are_laid_over_the_pack(tmp_path: Path) -> None:
    text = TWO_MINUTES + "policies: [{kind: Comparison, metadata: {name: stock-three-way}, spec: {promise: 3m}}]\n"
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    promises = play(load(path), seed=1).plane.promises
    assert (promises.comparison.total_seconds(), promises.cycle.total_seconds()) == (180, 60)


def test_policies_that_do_not_fit_are_refused_before_anything_is_played() -> None:
    change = {"kind": "Flow", "metadata": {"name": "orders"}, "spec": {"retry": "nowhere"}}
    scenario = Scenario.model_validate({"name": "mine", "minutes": 1, "policies": [change]})
    with pytest.raises(ScenarioError, match="nowhere"):
        play(scenario, seed=1)


def test_the_command_prints_json_and_keeps_the_home_when_asked(tmp_path: Path) -> None:
    path, home = tmp_path / "mine.yaml", tmp_path / "home"
    path.write_text(TWO_MINUTES, encoding="utf-8")
    program = "from controlplane.scenarios.commands import app; app()"
    command = [sys.executable, "-c", program, "run", str(path), "--seed", "3", "--json", "--keep", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["scenario"], answer["seed"]) == (0, "pass", "mine", 3)
    assert (home / "plane.sqlite").is_file()
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 2
    assert "is not empty" in again.stderr


def test_a_play_that_is_stopped_is_judged_by_what_was_played(tmp_path: Path) -> None:
    path, stop, told = tmp_path / "mine.yaml", threading.Event(), []
    path.write_text(TWO_MINUTES.replace("minutes: 2", "minutes: 90"), encoding="utf-8")

    def moved(now: datetime) -> None:
        told.append(now)
        if now - told[0] >= timedelta(minutes=3):
            stop.set()

    evidence = play(load(path), seed=3, progress=moved, stop=stop)
    assert timedelta(minutes=3) <= evidence.ended - evidence.began < timedelta(minutes=5)
    assert told == sorted(told)
    assert len(told) > 5
    [said] = evidence.unrest
    assert re.fullmatch(r"stopped after [34]\.\d minutes of the retailer's clock", said)
    assert evidence.plane.accepted > 4
    assert any(event["kind"] == "effect" for event in evidence.journal)
    report = judge(evidence, Scenario(name="mine", minutes=1).expect)
    assert report.numbers["verdict"] == "fail"
    assert [check.reasons for check in report.checks if check.name == "still moving when the wait ended"] == [(said,)]


@pytest.mark.timeout(240)
def test_an_interrupt_ends_the_command_with_an_answer_and_progress_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TWO_MINUTES.replace("minutes: 2", "minutes: 9000"), encoding="utf-8")
    program = "import controlplane.scenarios.commands as c; c.TOLD_EVERY = 0.5; c.app()"
    command = [sys.executable, "-c", program, "run", str(path), "--seeds", "1..5", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as played:
        assert played.stderr is not None
        assert "of 9000 minutes of trading are played" in played.stderr.readline()
        played.send_signal(signal.SIGINT)
        answer, said = played.communicate(timeout=200)
    [seed] = json.loads(answer)["seeds"]
    assert (played.returncode, seed["seed"]) == (1, 1)
    assert seed["unrest"][0].startswith("stopped after")
    assert "what was played until now is judged" in said


@pytest.mark.timeout(600)
def test_the_hardest_shipped_scenario_holds() -> None:
    assert reasons("black-friday", 4) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(set(shipped()) - {"live-traffic"}))
def test_every_shipped_scenario_holds_with_every_seed(name: str, seed: int) -> None:
    assert reasons(name, seed) == []
