"""`trueup access`: accounts and service tokens of the running plane."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rules import cells

if TYPE_CHECKING:
    from controlplane.client import PlaneClient

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Accounts and service tokens: who may sign in, and what programs may do.",
)  # fmt: skip
PASSWORD = "TRUEUP_NEW_PASSWORD"  # noqa: S105 - the name of a variable
Name = Annotated[str, typer.Argument(help="Name of the account.", show_default=False)]
RoleNames = Annotated[
    list[str],
    typer.Option(
        "--role",
        help="viewer, operator, editor, approver, admin, auditor or privacy; may be repeated. An admin approves no policy, whatever else.",
    ),
]
Team = Annotated[str | None, typer.Option(help="The Team whose data it owns.")]
Brands = Annotated[list[str] | None, typer.Option("--brand", help="A brand that it is confined to; may be repeated.")]
Regions = Annotated[
    list[str] | None, typer.Option("--region", help="A region that it is confined to; may be repeated.")
]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", help="A domain that it is confined to; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command()
def accounts(as_json: AsJson = False) -> None:
    """List accounts with their roles, their teams and what they are confined to. In a pipe, columns are parted by tabs."""
    _print(
        _plane().get("accounts")["accounts"], ("name", "roles", "team", "reach", "disabled", "issuer"), as_json=as_json
    )


@app.command()
def create(
    name: Name, role: RoleNames, team: Team = None, full_name: Annotated[str, typer.Option()] = "",
    brand: Brands = None, region: Regions = None, domain: Domains = None,
) -> None:  # fmt: skip
    """Make an account. The password is asked for, or taken from TRUEUP_NEW_PASSWORD. Without a brand, region or domain it reaches all."""
    asked = {"name": name, "password": _password(), "roles": role, "team": team, "display_name": full_name}
    _plane().post("accounts", asked | _reach(brand, region, domain))
    typer.echo(f"{name} can sign in")


@app.command()
def roles(
    name: Name, role: RoleNames, team: Team = None, brand: Brands = None, region: Regions = None, domain: Domains = None
) -> None:
    """Give an account these roles, this team and this reach in place of those that it has."""
    _plane().post(f"accounts/{name}/roles", {"roles": role, "team": team} | _reach(brand, region, domain))
    typer.echo(f"{name}: {', '.join(sorted(role))}")


@app.command()
def password(name: Name) -> None:
    """Give an account another password, unlock it and end its sessions."""
    _plane().post(f"accounts/{name}/password", {"password": _password()})
    typer.echo(f"{name} has another password, and its sessions are over")


@app.command()
def disable(name: Name) -> None:
    """Let nobody in by an account any more."""
    _plane().post(f"accounts/{name}/disable")
    typer.echo(f"{name} is disabled")


@app.command()
def enable(name: Name) -> None:
    """Let somebody in again."""
    _plane().post(f"accounts/{name}/enable")
    typer.echo(f"{name} is enabled")


@app.command()
def tokens(as_json: AsJson = False) -> None:
    """List service tokens: whose, what for, their scopes, until when, when they were used last."""
    columns = ("prefix", "account", "purpose", "scopes", "reach", "expires_at", "last_used_at", "revoked_at")
    _print(_plane().get("tokens")["tokens"], columns, as_json=as_json)


@app.command()
def issue(
    account: Annotated[str, typer.Option(help="The account that the token acts as.")],
    purpose: Annotated[str, typer.Option(help="Which program it is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="A right that it is confined to; may be repeated.")] = None,
    days: Annotated[float, typer.Option(help="How long it is good for.")] = 365,
    brand: Brands = None,
    region: Regions = None,
    domain: Domains = None,
) -> None:
    """Make a service token. It is printed this once."""
    asked = {"account": account, "purpose": purpose, "scopes": scope or None, "days": days}
    typer.echo(_plane().post("tokens", asked | _reach(brand, region, domain))["token"])


@app.command()
def revoke(prefix: Annotated[str, typer.Argument(help="The token's prefix.", show_default=False)]) -> None:
    """End a service token."""
    _plane().post(f"tokens/{prefix}/revoke")
    typer.echo(f"token {prefix} is revoked")


def _reach(brand: list[str] | None, region: list[str] | None, domain: list[str] | None) -> dict[str, Any]:
    named = {"brands": brand or None, "regions": region or None, "domains": domain or None}
    return {"reach": {key: names for key, names in named.items() if names}}


def _plane() -> PlaneClient:
    from controlplane.client import PlaneClient

    return PlaneClient()


def _password() -> str:
    return os.environ.get(PASSWORD) or typer.prompt("Password", hide_input=True, confirmation_prompt=True)


def _print(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        typer.echo(cells.line([_shown(row[name]) for name in columns]))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ";".join(f"{key}={','.join(names)}" for key, names in value.items())
    return (
        ",".join(map(str, value))
        if isinstance(value, list)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )
