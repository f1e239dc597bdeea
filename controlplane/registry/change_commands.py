"""`trueup policy plan|apply|drift|simulate|export|diff|history|rollback`: files against the running plane, changes by change request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.registry.commands import AsJson, app, kind_named, print_json
from controlplane.registry.decision_commands import As, speaking
from rules import cells

if TYPE_CHECKING:
    from controlplane.client import PlaneClient
    from controlplane.registry.drift import Document, Live
    from controlplane.registry.exchange import Change
    from rules.policy.reading import Entry

__all__ = ["app"]
Files = Annotated[list[Path], typer.Argument(help="Files, or folders read whole.", show_default=False)]
KindName = Annotated[str, typer.Argument(help="Kind, for instance Flow.")]
Name = Annotated[str, typer.Argument(help="Name of the policy.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; the approvers read it.")]


@app.command()
def plan(paths: Files, as_json: AsJson = False) -> None:
    """Show what files would change in the running plane. Changes nothing; what the files do not name is left alone."""
    from controlplane.registry import exchange

    changes = exchange.plan(_plane(), _read(paths))
    if as_json:
        print_json([change.told() for change in changes])
        return
    _print_plan(changes)


@app.command()
def drift(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files, or folders read whole, that are the whole registry.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold the registry against files and against how the systems are set; exit 1 when something differs.

    What a system does not tell is unknown, is shown as that, and is never taken for well.
    """
    from controlplane.registry import drift as found

    online, given = _plane(), paths or []
    commits = {str(path): found.commit_of(path) for path in given}
    documents = found.documents(online, _read(given)) if given else []
    settings = found.live(online)
    differs = bool(documents) or any(one.standing == "different" for one in settings)
    if as_json:
        print_json(found.told(commits, documents, settings))
    else:
        for path, commit in commits.items():
            typer.echo(f"{path}: {commit or 'in no git work tree'}")
        _print_documents(documents)
        _print_settings(settings)
    raise typer.Exit(1 if differs else 0)


@app.command()
def apply(paths: Files, reason: Reason, person: As, as_json: AsJson = False) -> None:
    """Propose what files would change: a change request for each policy, in review. Nothing is in force before it is approved."""
    from controlplane.registry import exchange

    with speaking(person) as online:
        _propose(online, exchange.plan(online, _read(paths)), reason, as_json=as_json)


def _propose(online: PlaneClient, changes: list[Change], reason: str, *, as_json: bool) -> None:
    from controlplane.errors import ConflictError, TrueupError
    from controlplane.registry import exchange

    made: list[dict[str, Any]] = []
    try:
        for change, request in exchange.propose(online, changes, reason):
            made.append({"kind": change.kind, "name": change.name, "id": request["id"], "state": request["state"]})
            if not as_json:
                typer.echo(f"{change.kind}/{change.name}: change request {request['id']} is {request['state']}")
    except TrueupError as error:
        done = f"{len(made)} were made before; " if made else ""
        raise ConflictError(f"{done}the next was refused: {error}") from error
    if as_json:
        print_json(made)
    elif not made:
        typer.echo("nothing to change")


@app.command()
def export(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to write Kind/name.yaml into; without it, print.")
    ] = None,
    as_: Annotated[
        str, typer.Option("--as", help="trueup, openslo (service levels), odcs (domains) or backstage (owners).")
    ] = "trueup",
) -> None:
    """Write every policy in force as YAML. The same registry gives the same files, byte for byte.

    What another format cannot carry is said in its files, and here.
    """
    from controlplane.registry import exchange

    files = list(exchange.texts(_plane(), as_))
    for file in files:
        for line in file.not_carried:
            typer.echo(f"{file.name}: not carried: {line}", err=True)
    if folder is None:
        typer.echo("---\n".join(file.text for file in files), nl=False)
        return
    strange = exchange.write(files, folder)
    typer.echo(f"{len(files)} {'policies' if as_ == exchange.OURS else 'files'} in {folder}")
    for name in strange:
        typer.echo(f"{name}: is of no policy in force, and was left as it is", err=True)


@app.command()
def owners(
    paths: Files,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; with it the changes are proposed, else only shown.")
    ] = "",
    person: Annotated[str, typer.Option("--as", help="Who proposes it; with --reason only.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take owners from a Backstage catalogue: groups become teams, and policies get the owner of the entity they are there."""
    from controlplane.registry import exchange

    _refuse_nobody(reason, person)
    with speaking(person) as online:
        entries, told = exchange.owners(online, paths)
        for line in told:
            typer.echo(line, err=True)
        changes = [change for change in exchange.plan(online, entries) if change.step != "not in the files"]
        if reason:
            _propose(online, changes, reason, as_json=as_json)
        elif as_json:
            print_json([change.told() for change in changes])
        else:
            _print_plan(changes)


def _refuse_nobody(reason: str, person: str) -> None:
    from controlplane.errors import BadInputError

    if reason and not person:
        raise BadInputError("what is proposed has an author: give --as NAME, and that person's password")


@app.command()
def diff(
    kind: KindName, name: Name,
    old: Annotated[int | None, typer.Option("--from", help="Revision; default: the one before.")] = None,
    new: Annotated[int | None, typer.Option("--to", help="Revision; default: the one in force.")] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Show what differs between two revisions of a policy, field by field."""
    from controlplane.errors import BadInputError
    from rules.policy.difference import changed_fields

    wanted = kind_named(kind)
    after = _policy(wanted, name, new)
    number = after["revision"] - 1 if old is None else old
    if number < 1:
        raise BadInputError(f"{wanted} '{name}' has one revision only; there is nothing to hold it against")
    fields = changed_fields(_policy(wanted, name, number)["document"], after["document"])
    if as_json:
        print_json([{"path": path, "before": before, "after": now} for path, before, now in fields])
        return
    typer.echo(f"{wanted}/{name}: revision {number} to {after['revision']}")
    _print_fields(fields)


@app.command()
def history(kind: KindName, name: Name, as_json: AsJson = False) -> None:
    """List the revisions of a policy, the newest first: when each governed, who wrote it, where it came from."""
    found = _plane().get(f"policies/{kind_named(kind)}/{name}")["history"]
    if as_json:
        print_json(found)
        return
    typer.echo("rev.\tgoverned from\tuntil\tauthor\torigin")
    for row in found:
        told = (row["revision"], row["valid_from"], row["valid_to"] or "now", row["author"], row["origin"])
        typer.echo(cells.line(list(map(str, told))))


@app.command()
def rollback(
    kind: KindName, name: Name,
    revision: Annotated[int, typer.Argument(help="Revision to go back to.")],
    reason: Reason, person: As,
) -> None:  # fmt: skip
    """Propose to go back to an older revision, as a new one: a change request in review."""
    asked = {"revision": revision, "reason": reason}
    with speaking(person) as online:
        made = online.post(f"policies/{kind_named(kind)}/{name}/rollback", asked)
        request = online.post(f"change-requests/{made['id']}/submit")
    typer.echo(f"change request {request['id']} is {request['state']}")


@app.command()
def simulate(
    request: Annotated[str, typer.Argument(help="Id of a change request that is not decided yet.")],
    person: As,
    as_json: AsJson = False,
) -> None:
    """Show what a change would have done in the last 28 days, and keep the result with the request: approvals rest on it."""
    with speaking(person) as online:
        found = online.post(f"change-requests/{request}/simulate")
    if as_json:
        print_json(found)
        return
    result = found["result"]
    if result is None:
        typer.echo(found["note"])
        return
    typer.echo(f"replayed from {result['since']} to {result['until']}; result {result['hash']}")
    for one in result["impact"]["figures"]:
        typer.echo(f"  {one['name']}: {one['before']:g} -> {one['after']:g} {one['unit']}")
    for row in result["impact"]["rows"]:
        typer.echo("  " + json.dumps(row, ensure_ascii=False))
    for line in result["impact"]["not_simulated"]:
        typer.echo(f"  not simulated: {line}")


# --- what they share ---


def _plane() -> PlaneClient:
    from controlplane.client import PlaneClient

    return PlaneClient()


def _read(paths: list[Path]) -> list[Entry]:
    """Read the files; whether they fit into the registry the plane says, which has the rest of it."""
    from controlplane.errors import PolicyError
    from controlplane.registry.packs import read

    entries, problems = read(paths)
    if problems:
        raise PolicyError("these policies have problems:\n" + "\n".join(map(str, problems)))
    return entries


def _policy(kind: str, name: str, revision: int | None) -> dict[str, Any]:
    found: dict[str, Any] = _plane().get(f"policies/{kind}/{name}", {"revision": revision})["policy"]
    return found


def _print_plan(changes: list[Change]) -> None:
    for change in changes:
        if change.step in ("new", "changed"):
            revision = f" (revision {change.revision})" if change.revision else ""
            typer.echo(f"{change.step}: {change.kind}/{change.name}{revision}")
            _print_fields(change.fields)
    counts = {
        step: sum(change.step == step for change in changes) for step in ("new", "changed", "same", "not in the files")
    }
    typer.echo(", ".join(f"{count} {step}" for step, count in counts.items()))


def _print_documents(documents: list[Document]) -> None:
    for one in documents:
        revision = f" (revision {one.revision})" if one.revision else ""
        typer.echo(f"{one.step}: {one.kind}/{one.name}{revision}")
        _print_fields(one.fields)


def _print_settings(settings: list[Live]) -> None:
    for one in settings:
        if one.standing == "different":
            typer.echo(
                f"different: {one.system}: {one.name} ought to be {one.promised} and is {one.actual}; {one.remedy}"
            )
        elif one.standing == "unknown":
            what = f"{one.system}: {one.name}" if one.name else one.system
            typer.echo(f"unknown: {what}: {one.note or 'the system does not tell it'}")
    counts = {
        standing: sum(one.standing == standing for one in settings) for standing in ("same", "different", "unknown")
    }
    typer.echo("settings at systems: " + ", ".join(f"{count} {standing}" for standing, count in counts.items()))


def _print_fields(fields: Any) -> None:
    for path, before, after in fields:
        typer.echo(f"  {path}: {_shown(before)} -> {_shown(after)}")


def _shown(value: Any) -> str:
    return (
        "(not there)" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
