"""`trueup quarantine`: look at what waits for a person, correct it, and let it go on; one record, or all of one cause."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rules import cells

if TYPE_CHECKING:
    from controlplane.client import PlaneClient

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Correct, replay and drop records that wait for a person.",
)  # fmt: skip

CAUSES = {
    "count": "records", "code": "cause", "fault": "what", "system": "system", "flow": "flow", "owner": "owner",
    "oldest": "oldest", "money": "worth", "waits": "waits for", "reason": "in words",
}  # fmt: skip
CASES = {
    "id": "case", "state": "state", "about": "about", "reason_code": "cause", "fault": "what", "flow": "flow",
    "owner": "owner", "opened_at": "since", "reason": "in words",
}  # fmt: skip
"""What the tables show, and their headings."""

Ids = Annotated[list[str] | None, typer.Argument(help="Cases; none: those that the options name.", show_default=False)]
System = Annotated[str | None, typer.Option(help="Only of this system.")]
Flow = Annotated[str | None, typer.Option(help="Only of this flow.")]
Code = Annotated[str | None, typer.Option(help="Only for this cause, e.g. unmapped_sku.")]
Fault = Annotated[str | None, typer.Option(help="Only with this code or field at fault.")]
Owner = Annotated[str | None, typer.Option(help="Only of this owner.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command("list")
def list_cases(
    system: System = None,
    flow: Flow = None,
    code: Code = None,
    fault: Fault = None,
    owner: Owner = None,
    cases: Annotated[bool, typer.Option("--cases", help="Each case, and not only the causes.")] = False,
    closed: Annotated[bool, typer.Option("--all", help="Closed cases too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the causes for which records wait, or each case. In a pipe, columns are parted by tabs."""
    narrow = _group(system, flow, code, fault, owner)
    if cases or closed:
        rows = _pages(narrow, closed)
        _print_json(rows) if as_json else _print_table(CASES, rows, "nothing waits for a person")
        return
    rows = _plane().get("quarantine", {"group": "cause", **narrow})["groups"]
    _print_json(rows) if as_json else _print_table(CAUSES, rows, "nothing waits for a person")


@app.command()
def show(
    case: Annotated[str, typer.Argument(help="Case.")],
    unseal: Annotated[
        bool, typer.Option("--unseal", help="With what is personal; it is noted who asked, and why.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it has to be seen; others will read it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show one case: why it waits, its record, its correction, and all that was done about it."""
    one = _plane().get(f"quarantine/{case}")
    if unseal:
        one |= _plane().post(f"quarantine/{case}/unseal", {"reason": reason})
    if as_json:
        _print_json(one)
        return
    for key in (
        "state",
        "reason_code",
        "fault",
        "reason",
        "remedy",
        "subject",
        "stage",
        "system",
        "flow",
        "owner",
        "opened_at",
    ):
        if one[key]:
            typer.echo(f"{key + ':':13}{one[key]}")
    if one["needs_approval"]:
        typer.echo(f"{'approval:':13}{one['approved_by'] or 'waits for a second person'}")
    typer.echo(f"\nrecord:\n{_pretty(one['record'])}")
    if one["corrected"] is not None:
        typer.echo(f"\ncorrected:\n{_pretty(one['corrected'])}")
    typer.echo("\nhistory:")
    for step in one["history"]:
        typer.echo(f"  {_instant(step['at'])}  {step['actor']:12} {step['kind']:12} {step['note']}".rstrip())
    for other in one["cases"]:
        if other["id"] != case:
            typer.echo(
                f"see also: {other['id']} {other['state']} ({other['reason_code']}, {_instant(other['opened_at'])})"
            )


@app.command()
def correct(
    ids: Ids = None,
    put: Annotated[
        list[str] | None,
        typer.Option("--set", help="PATH=TEXT or PATH:=JSON, e.g. body.row.plu=900001 or lines[*].quantity:=2"),
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(help="PATH of what does not belong there.")] = None,
    accept: Annotated[str, typer.Option(help="Let it pass as it is, and say why (inactive_sku only).")] = "",
    note: Annotated[str, typer.Option(help="What others should know.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show before and after, and keep nothing.")] = False,
    system: System = None,
    flow: Flow = None,
    code: Code = None,
    fault: Fault = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Correct records the same way; the originals are kept, and nothing is sent before the replay."""
    said = {
        "set": dict(map(_value, put or [])), "remove": remove, "accept": accept, "note": note, "dry_run": dry_run,
    }  # fmt: skip
    asked = {name: value for name, value in said.items() if value}
    group = _group(system, flow, code, fault, owner)
    found = _all("correct", ids, group, asked)
    if as_json:
        _print_json(found)
    else:
        for one in found.get("corrected", ()):
            typer.echo(f"{one['id']}: {'would be corrected' if dry_run else one['state']}{_approval(one)}")
            for change in one["changes"]:
                typer.echo(f"    {change['path']}: {_short(change['before'])} -> {_short(change['after'])}")
    _refused(found, as_json)


@app.command()
def preview(
    ids: Ids = None,
    system: System = None,
    flow: Flow = None,
    code: Code = None,
    fault: Fault = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Say what a replay would do, beside what the target shows now. Changes nothing."""
    found = _all("preview", ids, _group(system, flow, code, fault, owner), {})
    if as_json:
        _print_json(found)
    else:
        for one in found.get("previews", ()):
            typer.echo("\n".join(_previewed(one)))
    _refused(found, as_json)


@app.command()
def approve(
    case: Annotated[str, typer.Argument(help="Case whose correction was looked at.")],
    note: Annotated[str, typer.Option(help="What others should know.")] = "",
) -> None:
    """Agree to somebody else's correction; it shows what is agreed to first."""
    plane = _plane()
    one = plane.get(f"quarantine/{case}")
    made = plane.post(f"quarantine/{case}/approve", {"correction_id": one["correction_id"], "note": note})
    typer.echo(f"{case}: approved by {made['approved_by']}\n{_pretty(one['corrected'])}")


@app.command()
def vouch(
    case: Annotated[str, typer.Argument(help="Case whose target was looked at.")],
    reason: Annotated[str, typer.Option(help="How one knows; others will read it.")],
) -> None:
    """Say that what was sent had no effect, where the target cannot tell; then a correction can be replayed."""
    made = _plane().post(f"quarantine/{case}/vouch", {"reason": reason})
    typer.echo(f"{case}: {made['vouched_by']} vouches that it had no effect")


@app.command()
def replay(
    ids: Ids = None,
    rate: Annotated[float | None, typer.Option(help="Records a second; default: the System's rate, or 5.")] = None,
    system: System = None,
    flow: Flow = None,
    code: Code = None,
    fault: Fault = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Let records go on their way again, one after another, under the same limits as live traffic."""
    asked = {} if rate is None else {"rate": rate}
    found = _all("replay", ids, _group(system, flow, code, fault, owner), asked)
    if as_json:
        _print_json(found)
    elif found["scheduled"]:
        typer.echo(f"{found['scheduled']} scheduled, from {_instant(found['first'])} to {_instant(found['last'])}")
    else:
        typer.echo("nothing to replay")
    _refused(found, as_json)


@app.command()
def drop(
    reason: Annotated[str, typer.Option(help="Why they are not owed any more; others will read it.")],
    ids: Ids = None,
    system: System = None,
    flow: Flow = None,
    code: Code = None,
    fault: Fault = None,
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Decide that records are not owed any more."""
    found = _all("drop", ids, _group(system, flow, code, fault, owner), {"reason": reason})
    _print_json(found) if as_json else typer.echo(f"{len(found.get('dropped', ()))} dropped")
    _refused(found, as_json)


# --- asking the plane ---


def _plane() -> PlaneClient:
    from controlplane.client import PlaneClient

    return PlaneClient()


def _group(
    system: str | None, flow: str | None, code: str | None, fault: str | None, owner: str | None
) -> dict[str, str]:
    given = {"system": system, "flow": flow, "code": code, "fault": fault, "owner": owner}
    return {name: value for name, value in given.items() if value is not None}


def _pages(narrow: Mapping[str, str], closed: bool) -> list[dict[str, Any]]:
    asked = {**narrow, "all": 1 if closed else None, "limit": 1000}
    return list(_plane().pages("quarantine", "cases", asked))


def _all(deed: str, ids: Sequence[str] | None, group: Mapping[str, str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a deed until all that is meant was asked for; return the answers put together."""
    from controlplane.errors import BadInputError

    if bool(ids) == bool(group):
        raise BadInputError(
            "name either cases, or what they have in common (--system, --flow, --code, --fault, --owner)"
        )
    plane, found, after = _plane(), dict[str, Any](), None
    parts = [list(ids[at : at + 500]) for at in range(0, len(ids), 500)] if ids else [None]
    for part in parts:
        while True:
            select: dict[str, Any] = {"ids": part} if part else {"group": dict(group)}
            answer = plane.post(f"quarantine/{deed}", {**asked, "select": select | ({"after": after} if after else {})})
            _merge(found, answer)
            after = answer["next"]
            if after is None:
                break
    return found


def _merge(found: dict[str, Any], answer: Mapping[str, Any]) -> None:
    ends: dict[str, Callable[[str, str], str]] = {"first": min, "last": max}
    for name, value in answer.items():
        if isinstance(value, list):
            found[name] = [*found.get(name, []), *value]
        elif name == "scheduled":
            found[name] = found.get(name, 0) + value
        elif name in ends and value is not None and found.get(name):
            found[name] = ends[name](found[name], value)
        elif name != "next":
            found[name] = found.get(name) if value is None else value


def _value(text: str) -> tuple[str, Any]:
    """Read PATH=TEXT or PATH:=JSON: a SKU that looks like a number stays text."""
    from controlplane.errors import BadInputError

    path, equals, value = text.partition("=")
    if not equals or not path.rstrip(":"):
        raise BadInputError(f"'{text}' sets nothing; write --set PATH=TEXT or --set PATH:=JSON")
    if not path.endswith(":"):
        return path, value
    try:
        return path[:-1], json.loads(value)
    except ValueError as error:
        raise BadInputError(f"'{value}' is no JSON ({error}); for text write --set {path[:-1]}=TEXT") from None


# --- telling people ---


def _refused(found: Mapping[str, Any], as_json: bool) -> None:
    refused = found.get("refused") or []
    if not refused:
        return
    if not as_json:
        for one in refused:
            typer.echo(f"{one['id']}: refused: {one['reason']}", err=True)
    raise typer.Exit(1)


def _approval(one: Mapping[str, Any]) -> str:
    return f"; a second person has to agree ({'; '.join(one['approval'])})" if one["needs_approval"] else ""


def _previewed(one: Mapping[str, Any]) -> list[str]:
    lines = [f"{one['id']}:{' a second person has to agree first' if one['needs_approval'] else ''}"]
    if one["superseded_by"]:
        return [*lines, f"  would be dropped: {one['superseded_by']} is newer"]
    if "payload" in one:
        shows = one["shows"]
        lines.append(
            f"  {one['target']} shows {one['entity']} {one['subject']}: {shows['result']} {shows['detail']}".rstrip()
        )
        return lines + [
            f"    {field['field']}: now {_short(field['now'])}, would be {_short(field['written'])}"
            for field in one["fields"]
        ]
    lines += [f"  message {each['type']} {each['subject']}" for each in one["messages"] if not each["superseded_by"]]
    lines += [f"  message {each['type']} {each['subject']} is dropped: {each['superseded_by']} is newer"
              for each in one["messages"] if each["superseded_by"]]  # fmt: skip
    lines += [f"  from it {each['type']} {each['subject']}" for each in one["follow"]]
    lines += [
        f"  to {each['target']}: {each['entity']} {each['subject']}{_instead(each)}" for each in one["deliveries"]
    ]
    lines += [f"  would wait again: {each['reason']}" for each in one["held"]]
    return [*lines, "  known already: nothing would be sent twice"] if one["already_known"] else lines


def _instead(each: Mapping[str, Any]) -> str:
    return f", in place of {len(each['supersedes'])} that wait" if each["supersedes"] else ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _print_json(value: Any) -> None:
    typer.echo(_pretty(value))


def _instant(text: str | None) -> str:
    return f"{text[:19].replace('T', ' ')}Z" if text else ""


def _print_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], nothing: str) -> None:
    if not rows:
        typer.echo(nothing, err=not sys.stdout.isatty())
        return
    if sys.stdout.isatty():
        _draw_table(columns, rows)
        return
    typer.echo("\t".join(columns.values()))
    for row in rows:  # a reason may hold anything, and a row is one line
        typer.echo(cells.line([_cell(name, row) for name in columns]))


def _draw_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for name, heading in columns.items():
        table.add_column(heading, no_wrap=name not in ("reason", "about"), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, row).replace("[", "\\[") for name in columns))
    Console(highlight=False).print(table)


def _cell(name: str, row: Mapping[str, Any]) -> str:
    if name == "waits":
        waits = row["needs_approval"]
        return (
            f"{waits} for approval" if waits else f"{row['corrected']} for replay" if row["corrected"] else "correction"
        )
    value = row.get(name)
    if name in ("opened_at", "oldest"):
        return _instant(value)
    if name == "money":
        unknown = "" if not row["unknown_worth"] else "?" if not value else " + ?"
        return ", ".join(f"{amount} {currency}".rstrip() for currency, amount in (value or {}).items()) + unknown
    return "" if value is None else str(value)
