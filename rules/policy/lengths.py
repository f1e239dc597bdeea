"""How long the durations of a policy may be. What is in force already is read all the same, and named by the doctor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from rules.policy import kinds as k
from rules.policy.kinds import format_duration
from rules.policy.problems import Path
from rules.slo import KEPT

LONGEST = timedelta(days=366)
LONGEST_TIMEOUT = timedelta(hours=1)
SHORTER: Mapping[tuple[type[k.Part], str], tuple[timedelta, str]] = {
    (k.SystemSpec, "timeout"): (
        LONGEST_TIMEOUT,
        "a worker would wait for one answer, and the rest of the line with it",
    ),
    (k.Breaker, "pause"): (timedelta(days=1), "a system that is well again would be left alone"),
    (k.Breaker, "cap"): (timedelta(days=1), "a system that is well again would be left alone"),
    (k.ServiceLevelSpec, "window"): (KEPT, "what was observed before is not kept"),
    (k.BurnTier, "long"): (KEPT, "what was observed before is not kept"),
    (k.BurnTier, "short"): (KEPT, "what was observed before is not kept"),
}
"""Fields that have a limit of their own, and why."""
WHY = "nobody would be told in time that it was broken"


def too_long(part: k.Part, path: Path = ("spec",)) -> Iterator[tuple[Path, str, str]]:
    """Yield path, rule and remedy of each duration beyond its limit; how long a domain keeps things `keeping` looks at."""
    if isinstance(part, k.RetentionSpec):
        return
    for name in type(part).model_fields:
        value, here = getattr(part, name), (*path, name)
        if isinstance(value, timedelta):
            most, why = SHORTER.get((type(part), name), (LONGEST, WHY))
            if value > most:
                rule = f"it is longer than {format_duration(most)}: {why}"
                yield here, rule, f"write at most {format_duration(most)}"
        else:
            yield from _within(value, here)


def _within(value: Any, path: Path) -> Iterator[tuple[Path, str, str]]:
    if isinstance(value, k.Part):
        yield from too_long(value, path)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _within(each, (*path, name))
    elif isinstance(value, tuple):
        for position, each in enumerate(value):
            yield from _within(each, (*path, position))
