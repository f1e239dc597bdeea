"""`trueup connector`: what is installed, and a system's stock as a file for `trueup compare`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controlplane.connectors.contract import Level
    from controlplane.registry import Snapshot

app = typer.Typer(help="List connectors, try one, take a snapshot of a system.", no_args_is_help=True)


@app.command("list")
def list_connectors(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of docs/connectors.md.")] = False,
) -> None:
    """List the connectors that are installed: what they read, write and receive."""
    from controlplane.connectors import catalogue
    from controlplane.plugins import load_all

    if markdown:
        typer.echo(catalogue.table())
        return
    found = [catalogue.listed(connector.manifest) for _, connector in load_all("connectors")]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("connector", "reads", "writes (guarantee)", "receives", "verified against")
    for row in found:
        writes = ", ".join(f"{entity} ({guarantee})" for entity, guarantee in row["writes"].items())
        table.add_row(row["name"], ", ".join(row["reads"]), writes, ", ".join(row["receives"]), row["verified_against"])
    Console().print(table)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Name of a connector, as `list` has it.")]) -> None:
    """Print all that a connector declares, as JSON; schemas of options and credentials, and its native statuses included."""
    from controlplane.connectors.catalogue import declared
    from controlplane.plugins import load

    typer.echo(json.dumps(declared(load("connectors", name).manifest), indent=2, ensure_ascii=False))


@app.command("conformance")
def conformance(
    name: Annotated[str, typer.Argument(help="Name of a connector, as `list` has it.")],
    only: Annotated[str, typer.Option(help="Make only the checks whose name begins so, e.g. writes.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Try a connector against the system of its bench, with faults in between. Exit code 1 when a check fails or none applies."""
    from controlplane.connectors.conformance.suite import CHECKS, bench_of, run

    bench = bench_of(name)()
    if as_json:
        report = run(name, bench, only)
        typer.echo(json.dumps(report.document(), indent=2, ensure_ascii=False))
    else:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(f"{name} on trial", total=sum(check.name.startswith(only) for check in CHECKS))
            report = run(name, bench, only, lambda _: progress.advance(task))
        typer.echo(report.text())
    if not report.passed:
        raise typer.Exit(1)


@app.command("snapshot")
def snapshot(
    system: Annotated[str, typer.Argument(help="Name of a System policy.")],
    entity: Annotated[str, typer.Option(help="What to read, as the connector's manifest names it.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    pack: Annotated[
        str, typer.Option(help="Policies that have the System: a shipped pack, or a file or folder.")
    ] = "sandbox",
) -> None:
    """Read a system's stock and write it to a file that `trueup compare` takes."""
    from controlplane.clock import SystemClock
    from controlplane.connectors.connections import Connections
    from controlplane.connectors.export import export_levels
    from controlplane.registry.packs import pack_folder
    from controlplane.settings import load_settings

    fixed = FixedPolicies(pack_folder(pack))
    connections = Connections(fixed, load_settings(), SystemClock())
    try:
        pages: Iterator[list[Level]] = connections.get(system).snapshot(entity)
        count = export_levels(pages, out)
    finally:
        connections.close()
    typer.echo(f"{count} rows of {system}/{entity} written to {out}")


class FixedPolicies:
    """Policies read from files, without a database. Raises PolicyError with every problem of the files."""

    def __init__(self, path: Path) -> None:
        from controlplane.errors import PolicyError
        from controlplane.registry import Snapshot
        from controlplane.registry.packs import check

        entries, problems = check([path])
        if problems:
            raise PolicyError("\n".join(map(str, problems)))
        documents = {(entry.document.kind, entry.document.name): entry.document for entry in entries}
        self._snapshot = Snapshot(1, documents, {})

    def snapshot(self) -> Snapshot:
        """Return the policies of the files."""
        return self._snapshot
