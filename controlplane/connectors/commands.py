"""`trueup connector`: what is installed, and a system's stock as a file for `trueup compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controlplane.connectors.contract import Level
    from controlplane.registry import Snapshot

app = typer.Typer(help="List connectors, take a snapshot of a system.", no_args_is_help=True)


@app.command("list")
def list_connectors() -> None:
    """List the connectors that are installed: what they read, write and receive."""
    from rich.console import Console
    from rich.table import Table

    from controlplane.plugins import load_all

    table = Table("connector", "reads", "writes (guarantee)", "receives", "verified against")
    for name, connector in load_all("connectors"):
        manifest = connector.manifest
        reads = ", ".join(spec.entity for spec in manifest.reads)
        writes = ", ".join(f"{spec.entity} ({spec.guarantee})" for spec in manifest.writes)
        table.add_row(name, reads, writes, ", ".join(manifest.receives), manifest.verified_against)
    Console().print(table)


@app.command("snapshot")
def snapshot(
    system: Annotated[str, typer.Argument(help="Name of a System policy.")],
    entity: Annotated[str, typer.Option(help="What to read, as the connector's manifest names it.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    pack: Annotated[str, typer.Option(help="Shipped policy pack that has the System.")] = "sandbox",
    policies: Annotated[Path | None, typer.Option(help="Policy file or folder to use instead of a pack.")] = None,
) -> None:
    """Read a system's stock and write it to a file that `trueup compare` takes."""
    from controlplane.clock import SystemClock
    from controlplane.connectors.connections import Connections
    from controlplane.connectors.export import export_levels
    from controlplane.registry.packs import pack_folder
    from controlplane.settings import load_settings

    fixed = FixedPolicies(policies or pack_folder(pack))
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
