"""`trueup audit`: export the action log from the running plane, and check an export anywhere, without a plane."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from controlplane.audit.checkpoints import found_in
from controlplane.audit.evidence import Finding, examine, installation_of
from controlplane.client import PlaneClient
from controlplane.errors import BadInputError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Export the action log, and check that nobody has tampered with it.",
)  # fmt: skip


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it, as NDJSON; an existing file is not overwritten.")],
) -> None:
    """Write the whole action log with its checkpoints to a file."""
    if file.exists():
        raise BadInputError(f"{file} is there already; name another file")
    draft, count = file.with_name(f"{file.name}.part"), 0
    try:
        with draft.open("wb") as out:
            for piece in PlaneClient().stream("audit/export"):
                out.write(piece)
                count += piece.count(b"\n")
        draft.rename(file)
    except OSError as error:
        raise BadInputError(f"{file} cannot be written ({error.strerror}); name another place") from None
    finally:
        draft.unlink(missing_ok=True)
    print(f"{count} lines in {file}; check them with `trueup audit verify {file}`")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="What `trueup audit export` wrote.")],
    anchors: Annotated[
        str | None,
        typer.Option(help="Place that the checkpoints were written to (a folder, s3://…): hold it against them."),
    ] = None,
    public_key: Annotated[
        list[str] | None, typer.Option(help="Public key (base64) that may have signed; may be given several times.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Check an export: edits, deletions, changed places, a cut end. Works without a plane. Ends with 1 if something is wrong."""
    try:
        with file.open("rb") as lines:
            first = lines.readline()
            outside = found_in(anchors, installation_of(first)) if anchors else []
            lines.seek(0)
            found = examine(lines, outside, public_key or ())
    except OSError as error:
        raise BadInputError(f"{file} cannot be read ({error.strerror}); name an export") from None
    if anchors and not outside:
        found.problems.append(f"{anchors} holds no checkpoint of the installation {found.installation}")
    print(json.dumps(_told(found), default=str) if as_json else _text(found))
    if found.problems:
        sys.exit(1)


def _told(found: Finding) -> dict[str, object]:
    return asdict(found) | {"whole": not found.problems, "not_anchored": found.tail}


def _text(found: Finding) -> str:
    lines = [f"installation {found.installation}: {found.actions} actions"]
    lines += [f"wrong: {problem}" for problem in found.problems] or ["the chain is whole"]
    if found.anchored_to:
        signed = f"signed with {', '.join(found.keys)}"
        lines.append(f"anchored up to action {found.anchored_to} of {found.anchored_at}, {signed}")
        if not found.trusted:
            lines.append("whose keys these are was not said: compare them, or name the key with --public-key")
    if found.tail:
        lines.append(f"not anchored yet: actions {found.tail[0]} to {found.tail[1]}; nothing outside vouches for them")
    return "\n".join(lines)
