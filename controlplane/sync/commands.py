"""`trueup sync`: ask the running plane what moves, what waits and why; pause, resume, run now, and replay from the ledger."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from rules import cells

if TYPE_CHECKING:
    from controlplane.client import PlaneClient

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="See what waits and why; pause, resume, run now, replay.",
)  # fmt: skip
System = Annotated[str | None, typer.Option(help="Of this system.")]
Flow = Annotated[str | None, typer.Option(help="Of this flow.")]
Reason = Annotated[str, typer.Option(help="Why; others read it in the action log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Rows = list[dict[str, Any]]


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say how each system stands, and how many deliveries wait for what."""
    plane = _plane()
    systems, waiting = plane.get("systems")["systems"], plane.get("retrying", {"limit": 1})
    if as_json:
        return _print_json({"systems": systems, "counts": waiting["counts"], "complete": waiting["complete"]})
    _print_table([_standing(system) for system in systems], "no system")
    _print_table(waiting["counts"], "nothing waits")
    return _print_incomplete(waiting["complete"])


def _standing(system: Mapping[str, Any]) -> dict[str, Any]:
    state = system["state"] or {}
    return {
        "system": system["name"],
        "paused since": state.get("paused_at"),
        "asked again at": state.get("blocked_until"),
        "failures in a row": state.get("consecutive_failures", 0),
        "last answer": state.get("last_ok_at"),
        "why": state.get("blocked_reason") or "",
    }


@app.command()
def retrying(
    system: System = None,
    flow: Flow = None,
    limit: Annotated[int, typer.Option(help="Deliveries at once.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where the list before ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what is retrying or held up, and why."""
    page = _plane().get("retrying", {"system": system, "flow": flow, "limit": limit, "cursor": cursor})
    if as_json:
        return _print_json(page)
    _print_table([_waiting(one) for one in page["deliveries"]], "nothing waits")
    if page["next"]:
        typer.echo(f"more: --cursor {page['next']}", err=True)
    return None


def _waiting(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "delivery": one["id"], "system": one["system"], "flow": one["flow"], "what": f"{one['entity']} {one['subject']}",
        "reason": one["reason"], "attempts": one["attempts"], "next try": one["next_try"], "until": one["deadline"],
        "last": " ".join(filter(None, (one["outcome"], one["detail"], one["why"]))),
    }  # fmt: skip


@app.command()
def pause(reason: Reason, system: System = None, flow: Flow = None) -> None:
    """Stop the deliveries to a system, or of a flow. Retry deadlines stand still meanwhile."""
    what = _one(system, flow)
    _plane().post(f"{what}/pause", {"reason": reason})
    typer.echo(f"{_named(what)} is paused")


@app.command()
def resume(system: System = None, flow: Flow = None, reason: Reason = "") -> None:
    """Let the deliveries to a system, or of a flow, go on."""
    what = _one(system, flow)
    _plane().post(f"{what}/resume", {"reason": reason})
    typer.echo(f"{_named(what)} goes on")


@app.command()
def run(
    system: System = None,
    flow: Flow = None,
    delivery: Annotated[str | None, typer.Option(help="Only this delivery.")] = None,
    reason: Reason = "",
) -> None:
    """Let what waits out a backoff be due now; what may have taken effect keeps its wait."""
    what, plane, released = _one(system, flow, delivery), _plane(), 0
    while True:
        answer = plane.post(f"{what}/run", {"reason": reason})
        released += answer.get("released", 0)
        if not answer.get("more"):
            break
    if flow:
        typer.echo(f"{released} deliveries are due now")
    elif answer.get("blocked_until"):
        typer.echo(f"{_named(what)} asked to wait until {answer['blocked_until']}; what waits is due then")
    else:
        typer.echo(f"{_named(what)} is due now" + (": one request tests it" if answer.get("asked_again") else ""))


@app.command()
def replay(
    flow: Annotated[str, typer.Argument(help="The flow whose messages are sent again.")],
    since: Annotated[str, typer.Option(help="Messages accepted from here, e.g. 2026-03-02T09:00:00Z.")],
    reason: Reason,
    until: Annotated[str | None, typer.Option(help="To here, not included; default: now.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this business key.")] = None,
    target: Annotated[str | None, typer.Option(help="Only to this target.")] = None,
    rate: Annotated[float | None, typer.Option(help="Deliveries a second to each target.")] = None,
    force: Annotated[
        bool, typer.Option(help="Accept that a target without any guarantee may take some twice.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Show what would change, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send messages of a flow again from the ledger; what a target has is not sent."""
    asked = {
        "flow": flow, "since": since, "until": until, "subject": subject, "target": target, "rate": rate,
        "force": force, "reason": reason, "dry_run": dry_run,
    }  # fmt: skip
    answer = _plane().post("replays", asked)
    if as_json:
        return _print_json(answer)
    if not dry_run:
        return typer.echo(
            f"replay {answer['id']} is running, at {answer['rate']:g} a second; see `trueup sync replays`"
        )
    _print_table(_outcomes(answer["counts"]), "nothing was accepted then")
    _print_table(answer["keys"], "nothing would be sent")
    if not answer["complete"]:
        typer.echo(f"only the first {answer['looked_at']} messages were looked at", err=True)
    return None


@app.command()
def replays(
    cancel: Annotated[str | None, typer.Option(help="Let this replay add nothing more.")] = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """List the replays, or cancel one."""
    plane = _plane()
    if cancel is not None:
        plane.post(f"replays/{_part(cancel)}/cancel", {"reason": reason})
    found = plane.get("replays")["replays"]
    if as_json:
        return _print_json(found)
    return _print_table([_replay(one) for one in found], "no replay")


def _replay(one: Mapping[str, Any]) -> dict[str, Any]:
    became = ", ".join(
        f"{row['target']}: {row['count']} {row['outcome']}" for row in _outcomes(one["counts"])
    )  # fmt: skip
    return {
        "replay": one["id"], "flow": one["flow"], "state": one["state"], "since": one["since"], "until": one["until"],
        "asked by": one["asked_by"], "what became": became,
    }  # fmt: skip


def _outcomes(counts: Mapping[str, Mapping[str, int]]) -> Rows:
    return [
        {"target": target, "outcome": outcome, "count": count}
        for target, found in sorted(counts.items())
        for outcome, count in sorted(found.items())
    ]


# --- what is asked ---


def _plane() -> PlaneClient:
    from controlplane.client import PlaneClient

    return PlaneClient()


def _part(name: str) -> str:
    return quote(name, safe="")


def _one(system: str | None, flow: str | None, delivery: str | None = None) -> str:
    """Return the resource that is meant. Raises BadInputError unless it is exactly one."""
    from controlplane.errors import BadInputError

    given = {"systems": system, "flows": flow, "deliveries": delivery}
    named = [f"{kind}/{_part(name)}" for kind, name in given.items() if name]
    if len(named) != 1:
        raise BadInputError("give one of --system, --flow and --delivery, as the command takes them")
    return named[0]


def _named(resource: str) -> str:
    return resource.partition("/")[2]


# --- what is printed ---


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_incomplete(complete: bool) -> None:
    if not complete:
        typer.echo("more wait than were counted", err=True)


def _print_table(rows: Iterable[Mapping[str, Any]], none: str) -> None:
    found = [{name: _cell(value) for name, value in row.items()} for row in rows]
    if not found:
        typer.echo(none)
    elif sys.stdout.isatty():
        _draw_table(found)
    else:  # a pipe: a row a line, parted by tabs
        typer.echo("\t".join(found[0]))
        for row in found:
            typer.echo(cells.line(list(row.values())))


def _draw_table(rows: list[dict[str, str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(value.replace("[", "\\[") for value in row.values()))
    Console(highlight=False).print(table)


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())
