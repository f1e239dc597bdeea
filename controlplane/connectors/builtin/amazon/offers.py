"""What listings offer: quantities that we ship ourselves, and prices; read, and written one by one or with a feed.

What is told is accepted, not set: it shows some minutes later, or never. So it is read back, and counts only when it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.connectors.builtin.amazon.api import Api
from controlplane.connectors.builtin.amazon.attributes import QUANTITY, SHOWN, Target, issues_of, quantity_of, target_of
from controlplane.connectors.builtin.amazon.feeds import Feeds, Message
from controlplane.connectors.builtin.amazon.listings import Listing, Listings, product_type
from controlplane.connectors.contract import Context, Level, Write
from controlplane.connectors.http import Answer
from controlplane.connectors.outcomes import AWAITED, outcome_of
from controlplane.errors import BadInputError, ConnectorError, RejectedError
from rules.outcomes import Outcome, Result

FEW = 20
"""Up to so many changes are made one by one, five a second; more with a feed, of which one in two minutes is taken."""
TOGETHER = 1_000
"""Changes that go with one feed at most."""
HELD_UP = frozenset({Result.THROTTLED, Result.UNAVAILABLE})


class Offers:
    """Offers of one seller in one marketplace."""

    def __init__(self, context: Context, api: Api, seller: str, marketplace: str) -> None:
        self._context, self._marketplace = context, marketplace
        self._listings = Listings(api, seller, marketplace)
        self._feeds = Feeds(context, api, seller, marketplace)

    # --- reading ---
    def levels(self, location: str, keys: Sequence[tuple[str, str]] | None) -> Iterator[list[Level]]:
        """Yield what listings offer, all or those of the keys; one that does not exist, or is not ours to ship, is left out.

        Raises ConnectorError.
        """
        if keys is None:
            for items, answer in self._listings.whole(SHOWN[QUANTITY]):
                yield [level for item in items if (level := self._level(item, location, answer))]
            return
        ours = {self._context.codes.theirs("sku", sku): sku for sku, place in keys if place == location}
        found = self._listings.some(list(ours), SHOWN[QUANTITY])
        levels = (self._level(item, location, answer, ours[sku]) for sku, (item, answer) in found.items())
        yield [level for level in levels if level]

    def _level(self, item: Mapping[str, Any], location: str, answer: Answer, sku: str = "") -> Level | None:
        quantity = quantity_of(item)
        if quantity is None:
            return None
        named = sku or self._context.codes.ours("sku", str(item["sku"]))
        return Level(named, location, None, quantity, None, answer.started, answer.ended)

    # --- writing ---
    def put(self, request: Write) -> Outcome:
        """Have one listing show something else. Raises BadInputError, ConnectorError."""
        target = target_of(self._context, request, self._marketplace)
        found = self._listings.one(target.sku, SHOWN[target.entity])
        decided = _decided(target, found[0] if found else None)
        return self._patched(target, found[0]) if found and not decided else decided or _unlisted(target)

    def put_many(self, requests: Sequence[Write]) -> list[Outcome]:
        """Have listings show something else, each looked at first; one outcome for each, in order. Raises ConnectorError."""
        outcomes, targets = self._told(requests)
        included = SHOWN[requests[0].entity]
        found = self._listings.some([target.sku for target in targets.values()], included)
        changes: dict[int, Message] = {}
        for at, target in targets.items():
            listing = found[target.sku][0] if target.sku in found else None
            if decided := _decided(target, listing):
                outcomes[at] = decided
            elif listing is not None:
                changes[at] = Message(requests[at], target, product_type(listing))
        if len(changes) <= FEW or not self._feeds.numbering.kept:
            outcomes |= self._one_by_one(changes, {sku: listing for sku, (listing, _) in found.items()})
        else:
            outcomes |= dict(zip(changes, self._feeds.send(list(changes.values())), strict=True))
        return [outcomes[at] for at in range(len(requests))]

    def _told(self, requests: Sequence[Write]) -> tuple[dict[int, Outcome], dict[int, Target]]:
        outcomes: dict[int, Outcome] = {}
        targets: dict[str, tuple[int, Target]] = {}
        for at, request in enumerate(requests):
            try:
                target = target_of(self._context, request, self._marketplace)
            except BadInputError as error:
                outcomes[at] = outcome_of(error)
                continue
            if target.sku in targets:
                told = f"two articles are called {target.sku} at Amazon; correct the sku mapping"
                outcomes[at] = Outcome(Result.REJECTED, told)
            else:
                targets[target.sku] = (at, target)
        return outcomes, dict(targets.values())

    def _one_by_one(self, changes: Mapping[int, Message], listings: Mapping[str, Listing]) -> dict[int, Outcome]:
        """Change each by itself; once Amazon is held up, the others are left for later."""
        outcomes: dict[int, Outcome] = {}
        held_up: Outcome | None = None
        for at, change in changes.items():
            if held_up is None:
                outcomes[at] = self._tried(change.target, listings[change.target.sku])
                held_up = outcomes[at] if outcomes[at].result in HELD_UP else None
            else:
                outcomes[at] = held_up
        return outcomes

    def _tried(self, target: Target, listing: Listing) -> Outcome:
        try:
            return self._patched(target, listing)
        except ConnectorError as error:
            return outcome_of(error)

    def _patched(self, target: Target, listing: Listing) -> Outcome:
        answer = self._listings.patch(target.sku, product_type(listing), [target.patch])
        told = answer.json()
        status = told.get("status") if isinstance(told, dict) else None
        if status == "INVALID":
            return Outcome(Result.REJECTED, f"Amazon refused: {issues_of(told)}", evidence=answer.evidence)
        if status != "ACCEPTED":
            answer.fail(f"answered a listing's change with the status {status!r}")
        shown, value = target.shown(listing), target.value
        if target.entity != QUANTITY:
            shown, value = None if shown is None else str(shown), str(value)  # type: ignore[assignment]
        evidence = {**answer.evidence, "from": shown, "to": value, AWAITED: "the listing"}
        return Outcome(
            Result.UNKNOWN, f"queued as {told.get('submissionId')}; it counts when it shows", evidence=evidence
        )

    def read_back(self, request: Write) -> Outcome:
        """Tell from what the listing shows, and from the feeds that the write may have gone with. Raises ConnectorError."""
        target = target_of(self._context, request, self._marketplace)
        found = self._listings.one(target.sku, SHOWN[target.entity])
        if found is None:
            raise RejectedError(_unlisted(target).detail)
        if target.met(found[0]):
            return target.already()
        if told := self._feeds.became(request, target):
            return told
        shown, issues = target.shown(found[0]), issues_of(found[0]) or "no issue told"
        current = shown if isinstance(shown, int) else None
        return Outcome(Result.ABSENT, f"the listing shows {shown}, not {target.value}: {issues}", current=current)


def _decided(target: Target, listing: Listing | None) -> Outcome | None:
    """Return the outcome where nothing is to be written; None where something is."""
    if listing is None:
        return _unlisted(target)
    if target.met(listing):
        return target.already()
    shown = target.shown(listing)
    if target.expected is not None and isinstance(shown, int) and shown != target.expected:
        return Outcome(Result.STALE, f"the listing shows {shown}, not {target.expected}", current=shown)
    return None


def _unlisted(target: Target) -> Outcome:
    told = f"the seller has no listing with the SKU {target.sku}; create it at Amazon, or map the SKU"
    return Outcome(Result.REJECTED, told)
