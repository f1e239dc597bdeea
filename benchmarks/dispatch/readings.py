"""What was measured, in the form in which it is kept; contenders take turns here."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness import rotated

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """One contender in one round of one case. Rates are messages or requests a second, memory 10^6 bytes."""

    case: str
    contender: str
    store: str
    round: int
    values: Values


@dataclass(frozen=True, slots=True)
class Turn:
    """A contender on a store; `measure` is told the number of the round."""

    contender: str
    store: str
    measure: Callable[[int], Values]


def in_turns(case: str, turns: Sequence[Turn], rounds: int) -> list[Reading]:
    """Measure every contender once a round, the order shifted by one each round."""
    readings = []
    for number in range(rounds):
        for turn in rotated(turns, number):
            values = {name: round(value, 3) for name, value in turn.measure(number).items()}
            readings.append(Reading(case, turn.contender, turn.store, number, values))
            told = ", ".join(f"{name} {value:,.5g}" for name, value in values.items())
            print(f"  {case} round {number + 1} {turn.contender} on {turn.store}: {told}", file=sys.stderr)
    return readings
