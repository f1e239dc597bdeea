"""/api/v1/quarantine: what waits for a person, and what people do about it; one record, or many that have their cause in common.

A selection is `{"ids": […]}` or `{"group": {"system", "flow", "code", "fault", "owner", "stage"}}`, of which a group means open
cases. At most 500 are acted on at once: an answer with `next` is asked on with that as `after` in the selection.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from controlplane.api.answers import actor, commands, plane
from controlplane.api.contract import Link, contract
from controlplane.api.fields import Because
from controlplane.api.schemas import ANY, INSTANT, NEXT, OBJECT, TEXT, WHOLE, YES, Maybe, Null, row
from controlplane.api.selections import Agreement, Amendment, Amendments, CasesQuery, Drop, Look, Release
from controlplane.store import tables as t
from controlplane.sync.quarantine import Corrected
from controlplane.sync.quarantine.sealed import ENVELOPES
from controlplane.views import quarantine as view
from rules.correction import Change

quarantine = Blueprint("quarantine", __name__, url_prefix="/api/v1/quarantine")
CORRECTED = {"id": TEXT, "state": TEXT, "needs_approval": YES, "approval": [TEXT], "changes": [Change]}
REFUSED = {"refused": [{"id": TEXT, "reason": TEXT}], "next": Null(TEXT)}
CASE = row(t.quarantine, without=ENVELOPES, sealed=YES)
BRIEF = ("id", "state", "stage", "reason_code", "reason", "opened_at", "closed_at", "closed_by")
ASKED = (404, 409, 502)
"""What a look at a case, and at its target, may come to."""


@quarantine.get("")
@contract(
    {"cases": Maybe([view.Held]), "next": Maybe(NEXT), "groups": Maybe([view.Group])},
    query=CasesQuery,
    links=(
        Link("quarantine.get_case", {"case_id": "/cases/0/id"}),
        Link("quarantine.drop_case", {"case_id": "/cases/0/id"}),
    ),
)
def list_cases(query: CasesQuery) -> Response:
    """What waits for a person, the oldest first; `all=1` adds what is closed, and then the newest comes first.

    `group=cause` counts them by cause instead, whole: causes are few, however many records have them.
    """
    with plane().store.read() as conn:
        if query.group:
            return jsonify(groups=view.groups(conn, query.narrow))
        found = view.held(conn, everything=query.all, narrow=query.narrow, stretch=query.stretch)
    return jsonify(cases=found.rows, next=found.next)


@quarantine.get("/<case_id>")
@contract(CASE | {"history": [row(t.quarantine_event)], "cases": [row(t.quarantine, only=BRIEF)]})
def get_case(case_id: str) -> Response:
    """One case with its record, what is personal hidden, its history, and the other cases that the record was in."""
    with plane().store.read() as conn:
        return jsonify(view.case(conn, case_id))


@quarantine.post("/<case_id>/correct")
@contract(
    CORRECTED | {"before": ANY, "after": ANY, "dry_run": YES}, right="quarantine.correct", body=Amendment,
    refuses=(409,), once=True,
)  # fmt: skip
def correct_case(case_id: str, asked: Amendment) -> Response:
    """Keep a correction: record, or set (path: value) and remove (paths), or accept (why it may pass as it is). `dry_run` keeps nothing."""
    made = commands().correct(case_id, asked.edit, actor(), dry_run=asked.dry_run)
    return jsonify(_told(made) | {"dry_run": asked.dry_run})


@quarantine.post("/<case_id>/unseal")
@contract({"id": TEXT, "record": ANY, "corrected": ANY}, right="quarantine.unseal", body=Because, refuses=(409,))
def unseal_case(case_id: str, asked: Because) -> Response:
    """The record and its correction with what is personal in them: reason. That it was asked for is in the action log."""
    return jsonify(commands().unseal(case_id, asked.reason, actor()))


@quarantine.post("/<case_id>/approve")
@contract({"id": TEXT, "approved_by": TEXT}, right="quarantine.approve", body=Agreement, refuses=(409,), once=True)
def approve_case(case_id: str, asked: Agreement) -> Response:
    """Agree to somebody else's correction: correction_id (the one that was looked at), note."""
    commands().approve(case_id, actor(), asked.correction_id, asked.note)
    return jsonify(id=case_id, approved_by=actor().name)


@quarantine.post("/<case_id>/vouch")
@contract({"id": TEXT, "vouched_by": TEXT}, right="quarantine.replay", body=Because, refuses=(409,), once=True)
def vouch_for_case(case_id: str, asked: Because) -> Response:
    """Say that what was sent of the record had no effect at its target, which cannot tell: reason (how one knows)."""
    commands().vouch(case_id, asked.reason, actor())
    return jsonify(id=case_id, vouched_by=actor().name)


@quarantine.get("/<case_id>/preview")
@contract(OBJECT, right="quarantine.replay", refuses=ASKED)
def preview_case(case_id: str) -> Response:
    """What a replay would do, and what the target shows now; nothing is changed."""
    return jsonify(commands().preview(case_id, actor()))


@quarantine.post("/<case_id>/replay")
@contract({"id": TEXT, "state": TEXT}, right="quarantine.replay", refuses=ASKED, once=True)
def replay_case(case_id: str) -> Response:
    """Send the record on its way again, corrected or as it was. A state that a newer one has overtaken is dropped instead."""
    return jsonify({"id": case_id, **commands().replay(case_id, actor())})


@quarantine.post("/<case_id>/drop")
@contract({"id": TEXT, "state": TEXT}, right="quarantine.drop", body=Because, refuses=(409,), once=True)
def drop_case(case_id: str, asked: Because) -> Response:
    """Decide that the record is not owed any more: reason."""
    commands().drop(case_id, asked.reason, actor())
    return jsonify(id=case_id, state="dropped")


# --- many ---


@quarantine.post("/correct")
@contract(
    REFUSED | {"corrected": Maybe([CORRECTED]), "dry_run": YES}, right="quarantine.correct", body=Amendments, once=True
)
def correct_cases(asked: Amendments) -> Response:
    """Correct the selected records the same way: select, set, remove, accept, note; `dry_run` shows before and after only."""
    made = commands().correct_many(asked.selection, asked.edit, actor(), dry_run=asked.dry_run)
    return jsonify(made | {"dry_run": asked.dry_run})


@quarantine.post("/preview")
@contract(REFUSED | {"previews": Maybe([OBJECT])}, right="quarantine.replay", body=Look)
def preview_cases(asked: Look) -> Response:
    """What a replay of each selected record would do, twenty at once: select."""
    return jsonify(commands().preview_many(asked.selection, actor()))


@quarantine.post("/replay")
@contract(
    REFUSED | {"scheduled": WHOLE, "first": Null(INSTANT), "last": Null(INSTANT)}, status=202, right="quarantine.replay",
    body=Release, once=True,
)  # fmt: skip
def replay_cases(asked: Release) -> tuple[Response, int]:
    """Let the selected records go one after another: select, rate (a second; by default the System's)."""
    return jsonify(commands().replay_many(asked.selection, asked.rate, actor())), 202


@quarantine.post("/drop")
@contract(REFUSED | {"dropped": Maybe([TEXT])}, right="quarantine.drop", body=Drop, once=True)
def drop_cases(asked: Drop) -> Response:
    """Decide of the selected records that they are not owed any more: select, reason."""
    return jsonify(commands().drop_many(asked.selection, asked.reason, actor()))


def _told(made: Corrected) -> dict[str, Any]:
    return {
        "id": made.id, "state": made.state, "needs_approval": made.needs_approval, "approval": made.approval,
        "changes": made.changes, "before": made.before, "after": made.after,
    }  # fmt: skip
