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

app = typer.Typer(
    help="List connectors, declare one in YAML and try it, hold one to what it promises, take a snapshot of a system.",
    no_args_is_help=True,
)


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


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What the System is to be called, e.g. acme-shop.")],
    kind: Annotated[str, typer.Option(help="What it speaks: rest, graphql, soap, sql or files.")] = "rest",
    out: Annotated[Path | None, typer.Option(help="File to write; default: NAME.yaml here.")] = None,
) -> None:
    """Begin a declared connector: a System policy with a manifest to fill in."""
    from controlplane.connectors.declared.workshop import begin

    path = begin(name, kind, out or Path(f"{name}.yaml"))
    typer.echo(
        f"{path} is written. Fill it in; then `trueup connector check {path}`, and `trueup connector try {path}`"
    )


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="A manifest, or policies with Systems whose connector is declared.")],
) -> None:
    """Check the manifests of a file, and say which promises cannot be made with them."""
    from controlplane.connectors.declared.workshop import check_file

    lines, good = check_file(file)
    for line in lines:
        typer.echo(line)
    if not good:
        raise typer.Exit(1)


@app.command("try")
def try_(
    file: Annotated[Path, typer.Argument(help="Policies with the System.")],
    system: Annotated[str, typer.Option(help="Which System, where the file has several.")] = "",
    entity: Annotated[str, typer.Option(help="Which entity to read; default: all.")] = "",
    rows: Annotated[int, typer.Option(min=1, max=100, help="Records to show of each.")] = 3,
) -> None:
    """Read the first page live; show what the system says beside what is understood of it. Writes nothing anywhere."""
    from controlplane.connectors.declared.workshop import try_file

    if not try_file(file, system, entity, rows, typer.echo):
        raise typer.Exit(1)


@app.command("schema")
def schema() -> None:
    """Print the form of a manifest as JSON Schema."""
    from controlplane.connectors.declared.manifest import FORM

    typer.echo(json.dumps(FORM.json_schema(), indent=2))


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
