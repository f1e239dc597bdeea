"""`trueup policy`: check policies in files, list and show them from files or from the running plane; change them: `change_commands`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rules import cells

if TYPE_CHECKING:
    from rules.policy.problems import Problem
    from rules.policy.reading import Entry

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Validate, list and show policies; plan and propose changes.",
)  # fmt: skip

COLUMNS = {
    "kind": "kind", "name": "name", "revision": "rev.", "owner": "owner", "valid_from": "in force since", "title": "title",
    "place": "place",
}  # fmt: skip
"""What the table shows of a policy, and its headings."""

Paths = Annotated[list[Path] | None, typer.Argument(help="Files, or folders read whole.", show_default=False)]
From = Annotated[list[Path] | None, typer.Option("--path", help="Read this file or folder, not the running plane.")]
Pack = Annotated[str | None, typer.Option(help="Read a pack that comes with Trueup, not the running plane.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Kind = Annotated[str | None, typer.Option(help="Only policies of this kind.")]


@app.command()
def validate(paths: Paths = None, pack: Pack = None, as_json: AsJson = False) -> None:
    """Check policies as one whole; exit 0 when nothing is wrong, 1 otherwise. Prints file:line:column: what; remedy."""
    entries, problems = _read(paths, pack)
    if as_json:
        print_json({"documents": len(entries), "problems": [_problem_row(problem) for problem in problems]})
    else:
        for problem in problems:
            typer.echo(str(problem))
        typer.echo(_verdict(len(entries), len(problems)), err=bool(problems))
    raise typer.Exit(1 if problems else 0)


@app.command("list")
def list_policies(paths: Paths = None, pack: Pack = None, kind: Kind = None, as_json: AsJson = False) -> None:
    """List policies: of the running plane, or of the files or the pack that are given. In a pipe, columns are parted by tabs."""
    rows = _offline_rows(paths, pack) if paths or pack else _online("policies")["policies"]
    if kind is not None:
        wanted = kind_named(kind)
        rows = [row for row in rows if row["kind"] == wanted]
    if as_json:
        print_json(rows)
    else:
        _print_table(rows)


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="Kind, for instance Flow.")],
    name: Annotated[str, typer.Argument(help="Name of the policy.")],
    revision: Annotated[int | None, typer.Option(help="Revision; default: the one in force.")] = None,
    path: From = None,
    pack: Pack = None,
    as_json: AsJson = False,
) -> None:
    """Show one policy as YAML: from the running plane, or from files or a pack."""
    wanted = kind_named(kind)
    row = _offline_policy(path, pack, wanted, name) if path or pack else _online_policy(wanted, name, revision)
    if as_json:
        print_json(row)
        return
    from rules.policy.writing import to_yaml

    for key in ("place", "origin", "revision", "valid_from", "valid_to", "author", "hash"):
        if row.get(key) is not None:
            typer.echo(f"# {key}: {row[key]}")
    typer.echo(to_yaml(row["document"]), nl=False)


def _verdict(documents: int, problems: int) -> str:
    if problems:
        return f"{problems} problem{'s' if problems > 1 else ''}; nothing was changed"
    return f"{documents} polic{'ies' if documents != 1 else 'y'}, no problem"


def _read(paths: list[Path] | None, pack: str | None) -> tuple[list[Entry], list[Problem]]:
    from controlplane.errors import BadInputError
    from controlplane.registry.manifests import declared_connectors
    from controlplane.registry.packs import check, pack_folder

    chosen = [*(paths or []), *([pack_folder(pack)] if pack else [])]
    if not chosen:
        raise BadInputError("nothing to read; give files, folders, or --pack NAME")
    return check(chosen, declared_connectors())


def _well_formed(paths: list[Path] | None, pack: str | None) -> list[Entry]:
    from controlplane.errors import PolicyError

    entries, problems = _read(paths, pack)
    if problems:
        raise PolicyError("these policies have problems:\n" + "\n".join(map(str, problems)))
    return entries


def _problem_row(problem: Problem) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(problem)


def _entry_row(entry: Entry) -> dict[str, Any]:
    line, _ = entry.origin.place(("metadata", "name"))
    document = entry.document.model_dump(mode="json")
    return {
        "kind": entry.document.kind,
        "name": entry.document.name,
        "title": entry.document.metadata.title,
        "owner": document["spec"].get("owner", ""),
        "place": f"{entry.origin.file}:{line}",
        "document": document,
    }


def _offline_rows(paths: list[Path] | None, pack: str | None) -> list[dict[str, Any]]:
    rows = [_entry_row(entry) for entry in _well_formed(paths, pack)]
    ordered = sorted(rows, key=lambda row: (row["kind"], row["name"]))
    return [{key: value for key, value in row.items() if key != "document"} for row in ordered]


def _offline_policy(paths: list[Path] | None, pack: str | None, kind: str, name: str) -> dict[str, Any]:
    from controlplane.errors import NotFoundError
    from rules.policy.reading import nearest

    rows = [row for row in map(_entry_row, _well_formed(paths, pack)) if row["kind"] == kind]
    for row in rows:
        if row["name"] == name:
            return row
    remedy = nearest(name, [row["name"] for row in rows], f"{kind} documents")
    raise NotFoundError(f"there is no {kind} '{name}' in what was read; {remedy}")


def _online_policy(kind: str, name: str, revision: int | None) -> dict[str, Any]:
    found: dict[str, Any] = _online(f"policies/{kind}/{name}", revision=revision)["policy"]
    return found


def _online(resource: str, **query: Any) -> Any:
    from controlplane.client import PlaneClient

    return PlaneClient(instead="read files with --pack or a path").get(resource, query)


def kind_named(given: str) -> str:
    """Return the kind however its letters are written. Raises NotFoundError with the nearest one."""
    from controlplane.errors import NotFoundError
    from rules.policy.kinds import KINDS
    from rules.policy.reading import nearest

    for known in KINDS:
        if known.lower() == given.lower().replace("-", "").replace("_", ""):
            return known
    raise NotFoundError(f"there is no kind '{given}'; {nearest(given, KINDS, 'kinds')}")


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo("no policy")
        return
    columns = [name for name in COLUMNS if name in rows[0]]
    if sys.stdout.isatty():
        _draw_table(columns, rows)
        return
    typer.echo("\t".join(COLUMNS[name] for name in columns))
    for row in rows:
        # a title may hold anything, and a row is one line
        typer.echo(cells.line([_cell(name, row.get(name)) for name in columns]))


def _draw_table(columns: list[str], rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(COLUMNS[name], no_wrap=name != "title", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, row.get(name)).replace("[", "\\[") for name in columns))
    Console(highlight=False).print(table)


def _cell(column: str, value: Any) -> str:
    text = "" if value is None else str(value)
    if column == "place":
        text = "/".join(Path(text).parts[-2:])
    if column == "valid_from":
        text = text[:16].replace("T", " ") + "Z"
    return text
