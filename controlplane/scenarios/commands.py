"""`trueup scenario`: play a scenario and hold the plane against the truth; list those that come with Trueup."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.errors import TrueupError

if TYPE_CHECKING:
    from types import FrameType

    from controlplane.scenarios.judge.report import Report
    from controlplane.scenarios.scenario import Scenario

SHOWN = 12
"""So many reasons are printed for each broken expectation; the report file has all."""
FAILED, NOT_RUN = 1, 2
TOLD_EVERY = 30.0
"""Wall seconds between two lines that say how far it is, where there is no terminal to draw on."""

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Play a scenario and hold the plane against the truth."
)


@app.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with Trueup."""
    from controlplane.scenarios.scenario import load, shipped

    for name, path in shipped().items():
        scenario = load(path)
        typer.echo(f"{name:15} {scenario.minutes:g} min  {' '.join(scenario.description.split())}")


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A YAML file, or a scenario of ours.")],
    seed: Annotated[int, typer.Option(help="Same seed, same retailer.", min=0)] = 1,
    seeds: Annotated[
        str, typer.Option(metavar="A..B", help="Play all these; judge the findings of all together.")
    ] = "",
    minutes: Annotated[float | None, typer.Option(help="Trade for so many minutes instead of the file's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stable JSON answer and nothing else.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Leave the plane's home in this new folder.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write all expectations, reasons and episodes to this file.")
    ] = None,
) -> None:
    """Play a scenario. Exit code 0: every expectation held; 1: one did not; 2: it could not be played.

    Ctrl-C ends the play and judges what was played until then; once more ends at once.
    """
    if seeds:
        _run_seeds(scenario, seeds, minutes, as_json, report)
        return
    with _told():
        judged = _play(scenario, seed, minutes, keep)
    if report:
        report.write_text(json.dumps(_whole(judged), indent=2, default=str) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(judged.numbers))
    else:
        _show(judged)
    if not judged.passed:
        if as_json:
            _explain(judged)
        raise typer.Exit(FAILED)


def _loaded(name: str, minutes: float | None) -> Scenario:
    from controlplane.scenarios.scenario import ScenarioError, find, load

    scenario = load(find(name))
    if minutes is None:
        return scenario
    if minutes <= 0:
        raise ScenarioError(f"--minutes {minutes:g}: is not above 0; give minutes of trading")
    return scenario.shortened(minutes)


@contextmanager
def _told() -> Iterator[None]:
    """Say in a line why it could not be played to its end, and leave with that exit code."""
    try:
        yield
    except TrueupError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(NOT_RUN) from None
    except KeyboardInterrupt:
        typer.echo("stopped; everything was taken down", err=True)
        raise typer.Exit(NOT_RUN) from None


def _run_seeds(name: str, seeds: str, minutes: float | None, as_json: bool, report: Path | None) -> None:
    from controlplane.scenarios.pooled import play_seeds, shown

    with _told():
        scenario = _loaded(name, minutes)
        with _progress(scenario) as moved, _stoppable() as stop:
            answer = play_seeds(scenario, seeds, moved, stop)
    if report:
        report.write_text(json.dumps(answer, indent=2, default=str) + "\n", encoding="utf-8")
    typer.echo(json.dumps(answer) if as_json else shown(answer))
    if answer["verdict"] != "pass":
        raise typer.Exit(FAILED)


def _play(name: str, seed: int, minutes: float | None, keep: Path | None) -> Report:
    from controlplane.scenarios.judge.report import judge
    from controlplane.scenarios.runner import play

    scenario = _loaded(name, minutes)
    with _progress(scenario) as moved, _stoppable() as stop:
        return judge(play(scenario, seed, keep, moved, stop), scenario.expect)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Give what is set at the first Ctrl-C; the second interrupts as ever."""
    stop = threading.Event()

    def asked(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.set()
        typer.echo("stopping; what was played until now is judged (Ctrl-C again: at once, and nothing is)", err=True)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(scenario: Scenario) -> Iterator[Callable[[datetime], None]]:
    """Give what tells how far the scenario is, beside the answer: drawn on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _lines(scenario)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(scenario.name, total=scenario.minutes * 60)

        def moved(now: datetime) -> None:
            seconds = (now - scenario.start).total_seconds()
            over = seconds > scenario.minutes * 60
            bar.update(task, completed=seconds, description=f"{scenario.name}, until quiet" if over else scenario.name)

        yield moved


def _lines(scenario: Scenario) -> Callable[[datetime], None]:
    from controlplane.clock import SystemClock

    wall = SystemClock()
    told = wall.stopwatch()

    def moved(now: datetime) -> None:
        nonlocal told
        if wall.stopwatch() - told >= TOLD_EVERY:
            told = wall.stopwatch()
            played = (now - scenario.start).total_seconds() / 60
            typer.echo(f"{scenario.name}: {played:.1f} of {scenario.minutes:g} minutes of trading are played", err=True)

    return moved


def _show(judged: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    numbers = judged.numbers
    title = f"{numbers['scenario']}, seed {numbers['seed']}: {numbers['verdict']}"
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in ("", "expectation", "expected", "found"):
        table.add_column(column)
    for check in judged.checks:
        table.add_row("held" if check.holds else "BROKEN", check.name, check.expected, check.found)
    Console().print(table)
    _explain(judged)
    found, seconds = numbers["findings"], numbers["detect_seconds"]
    typer.echo(
        f"\n{numbers['messages']['accepted']} messages accepted in {numbers['simulated_seconds'] / 60:.0f} simulated minutes "
        f"({numbers['wall_seconds']:.0f} s); {found['true']} true findings, "
        f"{found['cause_right']} with the right cause, found {seconds['p50']:.0f} s after their promise at the median"
    )


def _explain(judged: Report) -> None:
    for check in judged.checks:
        if check.holds:
            continue
        typer.echo(f"\nbroken: {check.name}: {check.found}, expected {check.expected}", err=True)
        for reason in check.reasons[:SHOWN]:
            typer.echo(f"  {reason}", err=True)
        if len(check.reasons) > SHOWN:
            typer.echo(f"  and {len(check.reasons) - SHOWN} more; --report FILE has all", err=True)


def _whole(judged: Report) -> dict[str, object]:
    from dataclasses import asdict

    checks = [asdict(check) for check in judged.checks]
    return judged.numbers | {"checks": checks, "episodes": [asdict(episode) for episode in judged.episodes]}
