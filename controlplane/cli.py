"""The console command. Commands are entry points and are imported only when they are called, so that help is instant."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import click

from controlplane import plugins
from controlplane.errors import TrueupError

SUMMARIES = {
    "up": "Run the plane, by default with the sandbox retailer.",
    "worker": "Run a worker that delivers beside the plane (PostgreSQL).",
    "compare": "Compare two or more files and say where they disagree.",
    "policy": "Validate, list and show policies.",
    "connector": "List connectors, take a snapshot of a system.",
    "scenario": "Play a scenario and hold the plane against the truth.",
}
"""One line per command that we ship, so that `trueup --help` imports none of them."""


class LazyGroup(click.Group):
    """A group whose commands are found by entry point and loaded when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, ours in the order of use, then others'."""
        names = list(plugins.registered("commands"))
        return [name for name in SUMMARIES if name in names] + [name for name in names if name not in SUMMARIES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in plugins.registered("commands"):
            return None
        return _command(cmd_name, plugins.load("commands", cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = [(name, SUMMARIES.get(name, "(from another package)")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _command(name: str, found: Any) -> click.Command:
    import typer

    if isinstance(found, click.Command):
        return found
    if isinstance(found, typer.Typer):
        command = typer.main.get_group(found)
        command.name = name
        return command
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name)(found)
    return typer.main.get_command(app)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("trueup"), prog_name="trueup")
def root() -> None:
    """Trueup keeps a retailer's systems in step: stock, orders and money across ERP, warehouse and shops.

    Begin with `trueup up`: it starts the plane with a simulated retailer and prints where to look.
    """


def main() -> None:
    """Run the command; what the plane refuses on purpose is printed as one clear message, without a traceback."""
    try:
        root(prog_name="trueup")
    except TrueupError as error:
        click.echo(f"trueup: {error}", err=True)
        sys.exit(2)
