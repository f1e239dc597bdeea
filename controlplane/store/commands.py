"""`trueup db`: the tables on PostgreSQL, looked after by who owns them."""

from __future__ import annotations

import typer

from controlplane.errors import SettingsError
from controlplane.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def db() -> None:
    """Look after the tables, as the role that owns them (PostgreSQL)."""


@app.command("migrate")
def migrate() -> None:
    """Bring the tables up to date by TRUEUP_DATABASE_OWNER_URL, and let the role of TRUEUP_DATABASE_URL use them.

    Repeatable. Ends with 1 where that role could still change what is logged, and says by what.
    """
    settings = load_settings()
    if not settings.database_owner_url:
        raise SettingsError(
            "TRUEUP_DATABASE_OWNER_URL is not set; give the address of the role that owns the tables, on PostgreSQL. "
            "Where one role is owner and plane, the plane brings its tables up to date itself"
        )
    from controlplane.store.entrusted import migrate_as_owner

    wrong = migrate_as_owner(settings)
    typer.echo("the tables are of this version, and the plane's role may use them")
    for told in wrong:
        typer.echo(f"and yet the plane's role can change what is logged: it {told}", err=True)
    if wrong:
        raise typer.Exit(1)
