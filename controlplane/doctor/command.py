"""`trueup doctor`: what is misconfigured, and how to mend it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rules import cells

if TYPE_CHECKING:
    from controlplane.doctor.answers import Answer
    from controlplane.settings import Settings

STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no system whether it answers.")] = False,
    seconds: Annotated[float, typer.Option(help="Seconds that any one question may take.", min=0.1, max=60)] = 3.0,
) -> None:
    """Say what is misconfigured and how to mend it. It changes nothing, and works whether a plane runs or not.

    Exit code 0: all is well, or there are warnings; 1: something is wrong; 2: it could not look.
    """
    answers = _looked(_settings(as_json), offline, seconds)
    if as_json:
        _print_json(answers)
    else:
        _print_table(answers)
    raise typer.Exit(1 if any(answer.status == "wrong" for answer in answers) else 0)


def _settings(as_json: bool) -> Settings:
    """Read the settings; when they are wrong there is nothing else to look at, and that is said in the form asked for."""
    from controlplane.doctor.answers import wrong
    from controlplane.errors import SettingsError
    from controlplane.settings import load_settings

    try:
        return load_settings()
    except SettingsError as error:
        told = [(line.rpartition("; ")[0] or line, line.rpartition("; ")[2]) for line in str(error).splitlines()]
        answers = [wrong("settings", detail, remedy) for detail, remedy in told]
        if as_json:
            _print_json(answers)
        else:
            _print_table(answers)
        raise typer.Exit(2) from None


def _looked(settings: Settings, offline: bool, seconds: float) -> list[Answer]:
    from contextlib import closing

    from controlplane.clock import SystemClock
    from controlplane.doctor.examine import examine
    from controlplane.doctor.subject import Subject

    subject = Subject(settings, SystemClock(), environment=os.environ, offline=offline, seconds=seconds)
    with closing(subject):
        return list(examine(subject))


def _print_json(answers: Sequence[Answer]) -> None:
    from dataclasses import asdict
    from importlib.metadata import version

    from controlplane.doctor.answers import worst

    told: dict[str, Any] = {"version": version("trueup"), "status": worst(answers)}
    typer.echo(json.dumps(told | {"checks": [asdict(answer) for answer in answers]}, indent=2, ensure_ascii=False))


def _print_table(answers: Sequence[Answer]) -> None:
    shown = _merged(answers)
    if sys.stdout.isatty():
        _draw_table(shown)
    else:
        for answer in shown:  # in a pipe a row is one line, and columns are parted by tabs
            typer.echo(cells.line([answer.status, _name(answer), answer.detail, answer.remedy]))
    counts = {status: sum(answer.status == status for answer in shown) for status in ("wrong", "warning", "ok")}
    named = (f"{counts['wrong']} wrong", f"{counts['warning']} warnings", f"{counts['ok']} ok")
    typer.echo(", ".join(named), err=not sys.stdout.isatty())


def _merged(answers: Sequence[Answer]) -> list[Answer]:
    """One row for all checks that answer the very same, as those do that lean on something broken."""
    from dataclasses import replace

    rows: dict[tuple[str, ...], Answer] = {}
    for answer in answers:
        key = (answer.status, answer.detail, answer.remedy, answer.about)
        first = rows.get(key)
        rows[key] = replace(first, check=f"{first.check}, {answer.check}") if first else answer
    return list(rows.values())


def _name(answer: Answer) -> str:
    return f"{answer.check} ({answer.about})" if answer.about else answer.check


def _draw_table(answers: Sequence[Answer]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "what was seen", box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for answer in answers:
        seen = Text(answer.detail)
        if answer.remedy:
            seen.append(f"\n→ {answer.remedy}", style="italic")
        table.add_row(Text(answer.status, style=STYLES[answer.status]), Text(_name(answer)), seen)
    Console(highlight=False).print(table)
