"""`trueup finding`: look at what comparisons found, read keys again, accept, and heal. Asks the running plane."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from controlplane.client import PlaneClient
from rules import cells

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="See where systems disagree; read keys again, accept, heal.",
)  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Id = Annotated[str, typer.Argument(help="Finding, as `trueup finding list` names it.")]
Name = Annotated[str, typer.Argument(help="Comparison.")]
Reason = Annotated[str, typer.Option(help="Why; others read it in the action log.")]
COLUMNS = ("id", "comparison", "subject", "field", "side", "cause", "state", "actual", "expected", "money", "currency")
DECISION = ("finding", "subject", "side", "cause", "from", "to", "units", "money", "currency", "heals", "why")


@app.command("list")
def list_(
    comparison: Annotated[str | None, typer.Option(help="Only of this one.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only of this business key.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List findings that are not closed, the newest first. In a pipe, columns are parted by tabs."""
    asked = {"comparison": comparison, "subject": subject, "state": state, "limit": limit}
    query = {name: value for name, value in asked.items() if value is not None}
    _table(PlaneClient().get("findings", query)["findings"], COLUMNS, as_json)


@app.command()
def run(
    name: Name,
    subject: Annotated[
        list[str] | None, typer.Option(help="SKU@location, a SKU, an order's reference; may be given often.")
    ] = None,
) -> None:
    """Ask for a run now: of everything, or of some subjects."""
    plane, path = PlaneClient(), f"comparisons/{quote(name, safe='')}"
    made = plane.post(f"{path}/targeted-runs", {"subjects": subject}) if subject else plane.post(f"{path}/runs")
    typer.echo(f"{name}: run {made['run']} is {made['state']}")


@app.command()
def preview(name: Name, as_json: AsJson = False) -> None:
    """Say what healing would do with each open finding now, and why not; nothing is changed."""
    _table(PlaneClient().get(f"comparisons/{quote(name, safe='')}/healing")["decisions"], DECISION, as_json)


@app.command()
def accept(finding: Id, note: Annotated[str, typer.Option(help="Why; shown with the finding.")]) -> None:
    """Live with a difference as it is: it is open again as soon as it moves."""
    PlaneClient().post(f"findings/{quote(finding, safe='')}/accept", {"reason": note})
    typer.echo(f"{finding}: accepted")


@app.command()
def reopen(finding: Id, reason: Reason = "") -> None:
    """Take an acceptance back."""
    PlaneClient().post(f"findings/{quote(finding, safe='')}/reopen", {"reason": reason})
    typer.echo(f"{finding}: open")


@app.command()
def heal(finding: Id, reason: Reason) -> None:
    """Ask for the healing of what is beyond the policy's limits; somebody else agrees to it."""
    PlaneClient().post(f"findings/{quote(finding, safe='')}/heal", {"reason": reason})
    typer.echo(f"{finding}: waits for another person to agree")


@app.command()
def approve(finding: Id, reason: Reason = "") -> None:
    """Agree to a healing that somebody else asked for; the key is read again and healed."""
    made = PlaneClient().post(f"findings/{quote(finding, safe='')}/heal/approve", {"reason": reason})
    typer.echo(f"{finding}: approved by {made['approved_by']}; run {made['run']} heals it")


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(list(rows)))
        return
    typer.echo("\t".join(columns))
    for row in rows:
        typer.echo(cells.line([_cell(row.get(column)) for column in columns]))


def _cell(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else ("" if value is None else str(value))
