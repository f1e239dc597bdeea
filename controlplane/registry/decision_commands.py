"""`trueup change`: what people decide about change requests, each in their own name and by their own password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.registry.commands import AsJson, print_json
from rules import cells

if TYPE_CHECKING:
    from controlplane.client import PlaneClient

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Look at change requests, and decide them.",
)  # fmt: skip
PASSWORD = "TRUEUP_PASSWORD"  # noqa: S105 - the name of a variable
Request = Annotated[str, typer.Argument(help="Id of the change request.", show_default=False)]
As = Annotated[str, typer.Option("--as", help=f"Who does it. The password is asked for, or taken from {PASSWORD}.")]
Comment = Annotated[str, typer.Option(help="What others should know.")]
LINE = ("id", "state", "kind", "name", "title", "author")


@app.command("list")
def list_requests(
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False, as_json: AsJson = False
) -> None:
    """List the requests that are not decided, or owed a review. In a pipe, columns are parted by tabs."""
    with speaking() as online:
        found = online.get("change-requests", {"all": 1 if everything else None})["change_requests"]
    if as_json:
        print_json(found)
        return
    for row in found:
        typer.echo(cells.line([str(row[key]) for key in LINE]))


@app.command()
def show(request: Request, as_json: AsJson = False) -> None:
    """Show a request: what it changes, what it risks, who has voted, what is missing."""
    with speaking() as online:
        found = online.get(f"change-requests/{request}")
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['kind']}/{found['name']}: {found['title']} ({found['state']}, by {found['author']})")
    for one in found.get("fields") or []:
        mark = "  ! both changed it" if one.get("clashes") else ""
        typer.echo(f"  {one['path']}: {_shown(one.get('base'))} -> {_shown(one.get('mine'))}{mark}")
    for vote in found["votes"]:
        void = " (void: the document was edited since)" if vote["voided_at"] else ""
        typer.echo(f"  {vote['decision']} by {vote['voter']}: {vote['comment'] or 'no comment'}{void}")
    if missing := (found.get("risk") or {}).get("missing"):
        typer.echo(f"  missing: {missing}")


@app.command()
def approve(request: Request, person: As, comment: Comment = "") -> None:
    """Approve the document as it is now, and its simulation."""
    _decide(request, person, "vote", {"decision": "approve", "comment": comment})


@app.command()
def reject(request: Request, person: As, comment: Comment) -> None:
    """Reject it, and say why."""
    _decide(request, person, "vote", {"decision": "reject", "comment": comment})


@app.command()
def apply(request: Request, person: As) -> None:
    """Put an approved request in force now."""
    _decide(request, person, "apply", {})


@app.command()
def schedule(
    request: Request, person: As, at: Annotated[str, typer.Option(help="An ISO instant, 2026-12-01T06:00:00+00:00.")]
) -> None:
    """Let the plane put an approved request in force by itself."""
    _decide(request, person, "schedule", {"at": at})


@app.command("break-glass")
def break_glass(
    request: Request, person: As,
    hours: Annotated[float, typer.Option(help="For how long, 24 at most.")],
    reason: Annotated[str, typer.Option(help="Why it cannot wait for an approver.")],
) -> None:  # fmt: skip
    """Put a draft in force without approval. It ends by itself, and a review is owed."""
    _decide(request, person, "break-glass", {"hours": hours, "reason": reason})


@app.command()
def review(request: Request, person: As, comment: Comment) -> None:
    """Say afterwards what is to be said of a break-glass."""
    _decide(request, person, "review", {"comment": comment})


@app.command()
def withdraw(request: Request, person: As, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Give a request up."""
    _decide(request, person, "withdraw", {"reason": reason})


def _decide(request: str, person: str, deed: str, body: dict[str, Any]) -> None:
    with speaking(person) as online:
        found = online.post(f"change-requests/{request}/{deed}", body)
    typer.echo(f"change request {found['id']} is {found['state']}")


@contextmanager
def speaking(person: str = "") -> Iterator[PlaneClient]:
    """Give the running plane, asked as a person who gives his password, or by the machine's token where nobody is named."""
    from controlplane.client import Person, PlaneClient

    known = Person(person, _password(person)) if person else None
    with PlaneClient(person=known) as online:
        yield online


def _password(person: str) -> str:
    import os

    return os.environ.get(PASSWORD) or typer.prompt(f"Password of {person}", hide_input=True)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
