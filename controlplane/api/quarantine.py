"""/api/v1/quarantine: what waits for a person, and what people do about it; one record, or many that have their cause in common.

A selection is `{"ids": […]}` or `{"group": {"system", "flow", "code", "fault", "owner", "stage"}}`, of which a group means open
cases. At most 500 are acted on at once: an answer with `next` is asked on with that as `after` in the selection.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import actor, body, commands, flag, plane
from controlplane.errors import BadInputError
from controlplane.sync.engines.workbench import Edit
from controlplane.sync.quarantine import Corrected, Selection
from controlplane.sync.quarantine.selection import GROUP
from controlplane.views import quarantine as view

quarantine = Blueprint("quarantine", __name__, url_prefix="/api/v1/quarantine")
EDIT = frozenset({"record", "set", "remove", "accept", "note", "select", "dry_run"})


@quarantine.get("")
def list_cases() -> Response:
    """What waits for a person; narrowed by flow, system, code, fault, owner, stage; `group=cause` counts, `all=1` adds what is closed."""
    narrow = {name: request.args[name] for name in GROUP if name in request.args}
    grouped = request.args.get("group")
    if grouped not in (None, "cause"):
        raise BadInputError(f"cases are grouped by cause, and not by '{grouped}'; ask with group=cause")
    with plane().store.read() as conn:
        if grouped:
            return jsonify(groups=view.groups(conn, narrow))
        after, limit = request.args.get("after", ""), request.args.get("limit", view.LIMIT, type=int)
        limit = min(max(limit, 1), view.LIMIT)
        return jsonify(cases=view.held(conn, everything=flag("all"), limit=limit, narrow=narrow, after=after))


@quarantine.get("/<case_id>")
def get_case(case_id: str) -> Response:
    """One case with its record, whole, its history, and the other cases that the record was in."""
    with plane().store.read() as conn:
        return jsonify(view.case(conn, case_id))


@quarantine.post("/<case_id>/correct")
def correct_case(case_id: str) -> Response:
    """Keep a correction: record, or set (path: value) and remove (paths), or accept (why it may pass as it is). `dry_run` keeps nothing."""
    asked = body()
    dry = bool(asked.get("dry_run"))
    return jsonify(_told(commands().correct(case_id, _edit(asked), actor(), dry_run=dry)) | {"dry_run": dry})


@quarantine.post("/<case_id>/approve")
def approve_case(case_id: str) -> Response:
    """Agree to somebody else's correction: correction_id (the one that was looked at), note."""
    asked = request.get_json(silent=True) or {}
    correction = asked.get("correction_id")
    commands().approve(case_id, actor(), None if correction is None else str(correction), str(asked.get("note", "")))
    return jsonify(id=case_id, approved_by=actor().name)


@quarantine.post("/<case_id>/vouch")
def vouch_for_case(case_id: str) -> Response:
    """Say that what was sent of the record had no effect at its target, which cannot tell: reason (how one knows)."""
    commands().vouch(case_id, str(body("reason")["reason"]), actor())
    return jsonify(id=case_id, vouched_by=actor().name)


@quarantine.get("/<case_id>/preview")
def preview_case(case_id: str) -> Response:
    """What a replay would do, and what the target shows now; nothing is changed."""
    return jsonify(commands().preview(case_id, actor()))


@quarantine.post("/<case_id>/replay")
def replay_case(case_id: str) -> Response:
    """Send the record on its way again, corrected or as it was. A state that a newer one has overtaken is dropped instead."""
    return jsonify({"id": case_id, **commands().replay(case_id, actor())})


@quarantine.post("/<case_id>/drop")
def drop_case(case_id: str) -> Response:
    """Decide that the record is not owed any more: reason."""
    commands().drop(case_id, str(body("reason")["reason"]), actor())
    return jsonify(id=case_id, state="dropped")


# --- many ---


@quarantine.post("/correct")
def correct_cases() -> Response:
    """Correct the selected records the same way: select, set, remove, accept, note; `dry_run` shows before and after only."""
    asked = body("select")
    dry = bool(asked.get("dry_run"))
    made = commands().correct_many(_selection(asked), _edit(asked), actor(), dry_run=dry)
    return jsonify(made | {"dry_run": dry})


@quarantine.post("/preview")
def preview_cases() -> Response:
    """What a replay of each selected record would do, twenty at once: select."""
    return jsonify(commands().preview_many(_selection(body("select")), actor()))


@quarantine.post("/replay")
def replay_cases() -> tuple[Response, int]:
    """Let the selected records go one after another: select, rate (a second; by default the System's)."""
    asked = body("select")
    rate = asked.get("rate")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        raise BadInputError("`rate` is a number: how many records a second")
    return jsonify(commands().replay_many(_selection(asked), rate, actor())), 202


@quarantine.post("/drop")
def drop_cases() -> Response:
    """Decide of the selected records that they are not owed any more: select, reason."""
    asked = body("select", "reason")
    return jsonify(commands().drop_many(_selection(asked), str(asked["reason"]), actor()))


def _selection(asked: dict[str, Any]) -> Selection:
    if not isinstance(asked["select"], dict):
        raise BadInputError('`select` is an object: {"ids": […]} or {"group": {…}}')
    return Selection.of(asked["select"])


def _edit(asked: dict[str, Any]) -> Edit:
    strange = sorted(set(asked) - EDIT)
    if strange:
        raise BadInputError(f"a correction takes no '{strange[0]}'; it takes: {', '.join(sorted(EDIT))}")
    put, remove, accept = asked.get("set"), asked.get("remove", []), asked.get("accept", "")
    ways = [asked.get("record") is not None, bool(put or remove), bool(accept)]
    if sum(ways) != 1:
        raise BadInputError(
            "a correction is either a whole `record`, or values to `set` and `remove`, or `accept`; give one"
        )
    if put is not None and not isinstance(put, dict):
        raise BadInputError("`set` is an object: path: value")
    if not isinstance(remove, list) or not all(isinstance(path, str) for path in remove):
        raise BadInputError("`remove` is a list of paths")
    return Edit(asked.get("record"), put, tuple(remove), str(accept).strip(), str(asked.get("note", "")).strip())


def _told(made: Corrected) -> dict[str, Any]:
    return {
        "id": made.id, "state": made.state, "needs_approval": made.needs_approval, "approval": made.approval,
        "changes": made.changes, "before": made.before, "after": made.after,
    }  # fmt: skip
