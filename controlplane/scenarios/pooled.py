"""One scenario with many seeds: its findings held against the truth of all of them together."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from controlplane.scenarios.judge import truth
from controlplane.scenarios.runner import play
from controlplane.scenarios.scenario import Scenario, ScenarioError
from controlplane.scenarios.shared_clock import Progress


def numbers_of(seeds: str) -> range:
    """Read `A..B` or a single number; raises ScenarioError."""
    found = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", seeds.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise ScenarioError(f"--seeds {seeds}: is no range of seeds; give A..B with A not above B, such as 1..10")
    return range(first, last + 1)


def play_seeds(
    scenario: Scenario, seeds: str, progress: Progress = lambda _: None, stop: threading.Event | None = None
) -> dict[str, Any]:
    """Play every seed in turn; return the pooled numbers, those of each seed beside them, and the verdict on the goals.

    Once `stop` is set, what was played until then is judged, and seeds that were not begun are left out.
    """
    pooled = truth.Truth()
    each: list[dict[str, Any]] = []
    for seed in numbers_of(seeds):
        if each and stop is not None and stop.is_set():
            break
        evidence = play(scenario, seed, progress=progress, stop=stop)
        judged = truth.judge(evidence)
        pooled.add(judged)
        simulated = (evidence.ended - evidence.began).total_seconds()
        each.append(
            {
                "seed": seed, "wall_seconds": round(evidence.wall_seconds, 1), "simulated_seconds": simulated,
                "messages": evidence.plane.accepted, "journal": len(evidence.journal),
                "episodes": judged.episodes.total(), "found": judged.found.total(),
                "true": judged.true, "false": judged.false, "indeterminate": judged.indeterminate,
                "unrest": list(evidence.unrest),
            }
        )  # fmt: skip
    verdict = "pass" if all(goal.holds for goal in pooled.goals()) else "fail"
    return {"scenario": scenario.name, "seeds": each, **pooled.numbers(), "verdict": verdict}


def shown(answer: Mapping[str, Any]) -> str:
    """Return the answer as text: goals, raw counts by cause, and the matrix of causes."""
    lines = [f"{answer['scenario']}, {len(answer['seeds'])} seeds: {answer['verdict']}", ""]
    lines += [
        f"{'held  ' if goal['holds'] else 'BROKEN'}  {goal['name']:26} {goal['got']:28} wanted {goal['wanted']}"
        for goal in answer["goals"]
    ]
    lines += ["", f"{'cause by the journal':24}{'episodes':>10}{'found':>10}{'missed':>10}"]
    lines += [
        f"{cause:24}{number:>10}{answer['found'].get(cause, 0):>10}{answer['missed'].get(cause, 0):>10}"
        for cause, number in answer["episodes"].items()
    ]
    lines += ["", *_matrix(answer["confusion"])]
    plain, told = answer["naive"], answer["findings"]
    lines += [
        "",
        f"findings: {told['true']} true, {told['false']} false; of {answer['comparisons']} comparisons",
        f"a plain diff of the same snapshots: {plain['true']} of {plain['differences']} differences are true",
        f"cycles to detect: {answer['detect_cycles']}",
    ]
    lines += [f"seed {one['seed']}: {_took(one)}" for one in answer["seeds"]]
    return "\n".join(lines)


def _took(one: Mapping[str, Any]) -> str:
    return "; ".join([f"{one['messages']} messages in {one['wall_seconds']} s", *one["unrest"]])


def _matrix(confusion: list[dict[str, Any]]) -> list[str]:
    said = sorted({entry["finding"] for entry in confusion})
    real = sorted({entry["journal"] for entry in confusion})
    count = {(entry["journal"], entry["finding"]): entry["findings"] for entry in confusion}
    head = f"{'journal / finding':24}" + "".join(f"{cause:>20}" for cause in said)
    return [head, *(f"{one:24}" + "".join(f"{count.get((one, other), 0):>20}" for other in said) for one in real)]
