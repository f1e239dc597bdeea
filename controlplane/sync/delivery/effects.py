"""What a delivered write did to our picture of its target."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, update

from controlplane.connectors.contract import Draft
from controlplane.store import tables as t
from controlplane.sync.delivery.send import Sent
from controlplane.sync.processes import targets
from controlplane.sync.processes.contract import Work
from controlplane.sync.processes.fulfilment import refresh_state
from controlplane.sync.processes.inventory import offers
from controlplane.sync.processes.targets import STOCK_SIGN
from controlplane.sync.processes.taxes import agreed
from controlplane.sync.routing import emit
from rules.outcomes import Result


def has(sent: Sent) -> bool:
    """Say whether something follows from a delivery of this entity: for what is known of stock or orders, or a posting."""
    return sent.claimed.entity in STOCK_SIGN or sent.claimed.entity in EFFECTS


def shows_as_wanted(sent: Sent) -> bool:
    """Say whether a level was refused that shows, by something else than we knew of, what it was to be set to."""
    outcome, claimed = sent.outcome, sent.claimed
    stale = outcome.result is Result.STALE and claimed.entity == "available" and outcome.current is not None
    return stale and outcome.current == int(claimed.payload["quantity"])


def apply(work: Work, sent: Sent) -> None:
    """Note the effects of a delivered write; entities without any are not listed."""
    entity = sent.claimed.entity
    if entity in STOCK_SIGN:
        _books(work, sent, STOCK_SIGN[entity])
    elif entity in EFFECTS:
        EFFECTS[entity](work, sent)


def _books(work: Work, sent: Sent, sign: int) -> None:
    payload = sent.claimed.payload
    lines = payload.get("lines") or [{"sku": payload["sku"], "quantity": payload["quantity"]}]
    for line in lines:
        key = (sent.claimed.target, "on_hand", line["sku"], payload["location"])
        targets.move(
            work, key, sign * int(line["quantity"]), earliest=_first_try(sent), latest=sent.finished_at,
            cause="delivery", cause_id=sent.claimed.id,
        )  # fmt: skip


def _first_try(sent: Sent) -> datetime:
    return sent.started_at if sent.claimed.attempt == 1 else sent.claimed.created_at


def _offer(work: Work, sent: Sent) -> None:
    payload = sent.claimed.payload
    key = (sent.claimed.target, "available", payload["sku"], payload["location"])
    if payload["expected"] is None or sent.outcome.result is Result.STALE:
        # refused though it shows just that; or sent with a base that was read on the way and lost with its process: what it
        # shows since is all that is known
        shown_at = sent.outcome.target_at or sent.finished_at
        targets.anchor(work, key, int(payload["quantity"]), shown_at, sent.finished_at, sent.claimed.id)
        return
    if targets.level(work, *key) is None:
        as_of = sent.seen_at or sent.outcome.target_at or sent.finished_at
        targets.anchor(work, key, int(payload["expected"] or 0), as_of, sent.started_at, sent.claimed.id)
    targets.move(
        work, key, int(payload["quantity"]) - int(payload["expected"]), earliest=_first_try(sent),
        latest=sent.finished_at, cause="delivery", cause_id=sent.claimed.id,
    )  # fmt: skip


def _warehouse_took(work: Work, sent: Sent) -> None:
    ref = sent.claimed.payload["ref"]
    at = sent.outcome.target_at or sent.finished_at
    line = t.order_line.c
    work.connection.execute(update(t.order_line).where(line.order_ref == ref).values(warehouse_at=at))
    refresh_state(work, ref)
    keys = work.connection.execute(select(line.sku, line.location).where(line.order_ref == ref).distinct())
    for draft in offers(work, sorted((row.sku, row.location) for row in keys), sent.claimed.id):
        emit(work, draft, sent.claimed.trace_id, None)  # its figures may have held this order before we knew


def _tax_agreed(work: Work, sent: Sent) -> None:
    """Committed with the answer: an answer that is recorded posts, and one that is lost with its process is asked for again."""
    data, claimed = agreed(sent.claimed.payload), sent.claimed
    key = data["posting_key"]
    draft = Draft("tax.agreed", key, f"tax.agreed:{key}", sent.finished_at, data)
    emit(work, draft, claimed.trace_id, claimed.message_id)


EFFECTS: dict[str, Callable[[Work, Sent], None]] = {
    "available": _offer, "order": _warehouse_took, "tax_check": _tax_agreed,
}  # fmt: skip
