"""`trueup drill`: measure what a target takes before it is relied on, and propose its limits as policies."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.errors import BadInputError
from rules import cells

if TYPE_CHECKING:
    from controlplane.clock import Clock
    from controlplane.connectors.contract import Connector
    from controlplane.drill.record import Record
    from controlplane.drill.run import Drilled, Plan
    from controlplane.drill.target import Target
    from controlplane.registry import Snapshot
    from controlplane.settings import Settings

NOTHING_TO_PROPOSE = 1


def drill(
    system: Annotated[str, typer.Argument(help="Name of a System policy.")],
    flow: Annotated[str, typer.Option(help="Flow whose writes to the system are made up.")],
    rate: Annotated[
        str, typer.Option(help="Writes a second: 1,2,4 or FROM:TO:STEP or FROM:TO, which doubles.")
    ] = "1:32",
    seconds: Annotated[float, typer.Option(help="Seconds for which each rate is offered.", min=0.1)] = 10.0,
    max_writes: Annotated[int, typer.Option(help="Writes in all, at most.", min=1)] = 2000,
    max_errors: Annotated[int, typer.Option(help="Writes that may come to nothing, throttling aside.", min=0)] = 20,
    at_once: Annotated[int, typer.Option(help="Writes that may be under way at once.", min=1, max=500)] = 64,
    margin: Annotated[
        float, typer.Option(help="Share by which the proposed rate stays below the knee.", min=0, max=0.9)
    ] = 0.2,
    latency: Annotated[
        float, typer.Option(help="A 95th percentile up to so many seconds is well in any case.", min=0)
    ] = 0.1,
    sku: Annotated[list[str] | None, typer.Option(help="Goods to write about; default: what the system lists.")] = None,
    location: Annotated[
        str | None, typer.Option(help="Location to write about; default: the first that it lists.")
    ] = None,
    pack: Annotated[
        str | None, typer.Option(help="Policies: a shipped pack, or a file or folder; default: the running plane's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the proposed policies; default: drill-SYSTEM-FLOW.yaml.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the figures to this file too.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Drill a system that may be production.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stable JSON answer and nothing else.")] = False,
) -> None:
    """Offer a system made-up writes at rising rates until it has enough, and propose rate, concurrency, time-out and retry policy.

    Exit code 0: limits are proposed; 1: it was measured, and nothing can be proposed; 2: it could not be drilled.
    """
    from controlplane.drill.run import Plan
    from controlplane.drill.target import parse_rates, refuse_production, target_of
    from controlplane.settings import load_settings
    from rules.capacity import Limits

    limits = Limits(latency_floor=latency)
    plan = Plan(parse_rates(rate), seconds, at_once, max_writes, max_errors, margin, limits)
    settings = load_settings()
    policies = _policies(pack, settings)
    target = target_of(policies, system, flow)
    if force:
        typer.echo(f"--force: '{system}' is drilled whatever it is", err=True)
    else:
        refuse_production(target.system)
    out = out or Path(f"drill-{system}-{flow}.yaml")
    _refuse_unwritable("--out", out)
    if html:
        _refuse_unwritable("--html", html)
    drilled = _drilled(policies, target, settings, plan, sku or [], location, quiet=as_json)
    files = _write(policies, target, drilled, out, html)
    _show(target, drilled, files, as_json)
    raise typer.Exit(0 if drilled.proposal else NOTHING_TO_PROPOSE)


def _refuse_unwritable(option: str, file: Path) -> None:
    """Raise BadInputError before anything is measured, rather than lose what was."""
    folder = file.parent
    usable = os.access(file, os.W_OK) and file.is_file() if file.exists() else os.access(folder, os.W_OK | os.X_OK)
    if not (folder.is_dir() and usable):
        raise BadInputError(f"{option} {file} cannot be written; name a file in a folder that is there and is yours")


def _policies(pack: str | None, settings: Settings) -> Snapshot:
    if pack is None:
        from controlplane.drill.target import policies_of_plane

        return policies_of_plane(settings)
    from controlplane.connectors.commands import FixedPolicies
    from controlplane.registry.packs import pack_folder

    return FixedPolicies(pack_folder(pack)).snapshot()


def _drilled(
    policies: Snapshot,
    target: Target,
    settings: Settings,
    plan: Plan,
    skus: list[str],
    location: str | None,
    *,
    quiet: bool,
) -> Drilled:
    from controlplane.clock import SystemClock
    from controlplane.drill.material import gather
    from controlplane.drill.proposal import retry_of
    from controlplane.drill.record import record_of
    from controlplane.drill.run import Drill, Meter
    from controlplane.drill.target import connector_of
    from controlplane.drill.writes import needs_goods, writes_for

    clock, meter, name = SystemClock(), Meter(), target.system.name
    with (
        record_of(settings.home, name) as record,
        closing(connector_of(policies, target.system, settings, clock, plan.at_once, meter)) as connector,
    ):
        kind, run = target.message_type(connector.manifest), f"{clock.now():%Y%m%dT%H%M%S}"
        _tidy(record, name, run, connector, clock)
        material = gather(policies, name, connector, skus, location, goods=needs_goods(kind))
        writes = writes_for(target.entity, kind, run, material, clock, record)
        meter.count = 0
        retry = policies.retry_policies[retry_of(policies, target)].spec
        return Drill(clock, connector, writes, meter, plan, _silent if quiet else _tell).run(run, retry)


def _tidy(record: Record, system: str, run: str, connector: Connector, clock: Clock) -> None:
    """Put back first what a drill that was killed has left off."""
    from controlplane.drill.writes import put_back_left

    count, failed = put_back_left(record, system, run, connector, clock)
    if count:
        _tell(f"a drill of '{system}' was killed: {count} levels of it were off or in doubt, and are put back now")
    for told in failed:
        _tell(f"not put back: {told}")


def _silent(_line: str) -> None:
    """Tell nobody."""


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _write(policies: Snapshot, target: Target, drilled: Drilled, out: Path, html: Path | None) -> list[str]:
    from controlplane.drill.proposal import documents_of, to_text

    files = []
    if drilled.proposal:
        out.write_text(to_text(target, drilled, documents_of(policies, target, drilled.proposal)), encoding="utf-8")
        files.append(str(out))
    if html:
        from controlplane.drill.figure import page

        html.write_text(page(target, drilled), encoding="utf-8")
        files.append(str(html))
    return files


def _show(target: Target, drilled: Drilled, files: list[str], as_json: bool) -> None:
    from controlplane.drill import report

    if as_json:
        typer.echo(json.dumps(report.as_json(target, drilled, files), indent=2, ensure_ascii=False))
        return
    _print_table(report.title(target, drilled), report.COLUMNS, report.rows(drilled))
    typer.echo("\n".join(report.in_words(drilled)))
    for file in files:
        typer.echo(f"written: {file}")
    if drilled.proposal:
        typer.echo(f"check it with `trueup policy validate {files[0]}`")


def _print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not sys.stdout.isatty():  # in a pipe a row is a line, and columns are parted by tabs
        for row in (columns, *rows):
            typer.echo(cells.line(list(row)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
    typer.echo("")
