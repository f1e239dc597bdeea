"""The console command. Commands are entry points and are imported only when they are called, so that help is instant."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from controlplane import plugins
from controlplane.errors import TrueupError

SUMMARIES = {
    "up": "Run the plane, by default with the sandbox retailer.",
    "worker": "Run a worker that delivers beside the plane (PostgreSQL).",
    "doctor": "Say what is misconfigured and how to mend it.",
    "drill": "Measure what a target takes, and propose its limits.",
    "sync": "See what waits and why; pause, resume, run now, replay.",
    "compare": "Compare files, tables or snapshots and say where they disagree.",
    "snapshot": "Keep what systems showed: take, list, check and drop.",
    "policy": "Validate, list and show policies; plan and propose changes.",
    "change": "Look at change requests, and decide them.",
    "quarantine": "Correct, replay and drop records that wait for a person.",
    "connector": "List connectors, take a snapshot of a system.",
    "access": "Look after accounts and service tokens.",
    "audit": "Export the action log, and check that nobody has tampered with it.",
    "db": "Bring the tables up to date as the role that owns them (PostgreSQL).",
    "keys": "List, rotate and destroy the keys of sealed personal data.",
    "finding": "See where systems disagree; read keys again, accept, heal.",
    "ledger": "Archive old messages, list the parts of the archive, put them back.",
    "scenario": "Play a scenario and hold the plane against the truth.",
}
"""One line per command that we ship, so that `trueup --help` imports none of them."""


class LazyGroup(TyperGroup):
    """A group whose commands are found by entry point and loaded when called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, ours in the order of use, then others'."""
        names = list(plugins.registered("commands"))
        return [name for name in SUMMARIES if name in names] + [name for name in names if name not in SUMMARIES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command: a Typer group, or a function that becomes a command."""
        if cmd_name not in plugins.registered("commands"):
            return None
        found = plugins.load("commands", cmd_name)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
            command.name = cmd_name
            return command
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        app.command(cmd_name)(found)
        return typer.main.get_command(app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        rows = [(name, SUMMARIES.get(name, "(from another package)")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


root = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trueup {version('trueup')}")
        raise typer.Exit


@root.callback()
def trueup(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Trueup keeps a retailer's systems in step: stock, orders and money across ERP, warehouse and shops.

    Begin with `trueup up`: it starts the plane with a simulated retailer and prints where to look.
    """


def main() -> None:
    """Run the command; what the plane refuses on purpose is printed as one clear message, without a traceback."""
    try:
        root(prog_name="trueup")
    except TrueupError as error:
        typer.echo(f"trueup: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
