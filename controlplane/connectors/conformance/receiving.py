"""Webhooks and queues: what is not signed is refused, what is told again is known again, what was not kept comes again."""

from __future__ import annotations

from dataclasses import replace

from controlplane.connectors.conformance.report import NotApplicable, demand
from controlplane.connectors.conformance.stand import Stand
from controlplane.connectors.contract import Connector, Inbound, SignatureError
from controlplane.errors import BadInputError

TAKEN = 5
SECONDS = 2.0
EACH = 5
"""Webhooks of one topic that are tried."""


def signature(stand: Stand) -> str:
    """Take what the system signed; refuse what was changed, is not signed, or was signed with another secret."""
    inbound = _webhooks(stand)[0]
    connector = stand.connector()
    connector.receive(inbound)
    key = stand.bench.webhook_key
    for told, forged in _forged(inbound, key):
        _refused(connector, forged, told)
    secret = next(iter(stand.manifest.webhook_secrets), None)
    if secret:
        stranger = Stand(
            stand.name, stand.bench, replace(stand.place, secrets={**stand.place.secrets, secret: "another-secret"})
        )
        try:
            _refused(stranger.connector(), inbound, "signed with another secret")
        finally:
            stranger.close()
    untold = sorted(set(stand.manifest.receives) - {connector.receive(one).topic for one in _webhooks(stand)})
    unsigned = [f"a changed body was not tried: the system signs none, it bears a key in {key}"] if key else []
    return "; ".join(
        [*unsigned, *([f"topics that the bench cannot have the system tell: {', '.join(untold)}"] if untold else [])]
    )


def replay(stand: Stand) -> str:
    """Give the same event the same key each time, and the same fact the same key under whatever id it comes."""
    inbounds, connector, other = _webhooks(stand), stand.connector(), stand.connector()
    for inbound in inbounds:
        first, second = connector.receive(inbound), other.receive(inbound)
        demand(first == second, f"{first.topic}: the same webhook is another record the second time")
        demand(first.event_key, f"{first.topic}: it has no event key, so that a repetition is an event of its own")
    demand(
        len({connector.receive(one).event_key for one in inbounds})
        == len({(one.body, str(one.headers)) for one in inbounds}),
        "different webhooks have the same event key: one of them would be taken for a repetition",
    )
    return _known_again(stand, inbounds, connector)


def _known_again(stand: Stand, inbounds: list[Inbound], connector: Connector) -> str:
    for inbound in inbounds:
        try:
            other = stand.bench.under_another_id(inbound)
        except NotApplicable as reason:
            return str(reason)
        record, again = connector.receive(inbound), connector.receive(other)
        keys = [draft.dedupe_key for draft in connector.translate(record.topic, record.body)]
        told = [draft.dedupe_key for draft in connector.translate(again.topic, again.body)]
        demand(
            keys == told,
            f"{record.topic}: caught and told again under another id it is another fact: {told}, not {keys}",
        )
    return ""


def queue(stand: Stand) -> str:
    """Give again what was taken and not acknowledged, forget what was, and keep what cannot be read."""
    if not stand.manifest.consumes:
        raise NotApplicable("the connector takes nothing off a queue")
    bodies = stand.bench.enqueue(TAKEN)
    first = _take(stand, acknowledge=False)
    demand(
        first == bodies, f"{TAKEN} records were put into the queue, and {len(first)} came, or in another order or form"
    )
    again = _take(stand, acknowledge=True)
    demand(sorted(again) == sorted(bodies), f"not acknowledged, {len(again)} of {TAKEN} came again")
    demand(_take(stand, acknowledge=True) == [], "what was acknowledged came again")
    return ""


def _take(stand: Stand, *, acknowledge: bool) -> list[bytes]:
    feed, found = stand.connector().consume(), list[bytes]()
    try:
        while len(found) < TAKEN and (records := feed.take(SECONDS)):
            found += [record.body for record in records]
        if acknowledge and found:
            feed.acknowledge()
    finally:
        feed.close()
    return found


def _webhooks(stand: Stand) -> list[Inbound]:
    if not stand.manifest.receives:
        raise NotApplicable("the connector receives no webhooks")
    found, connector = dict[str, list[Inbound]](), stand.connector()
    for inbound in stand.bench.webhooks():
        found.setdefault(connector.receive(inbound).topic, []).append(inbound)
    demand(found, "the bench gave no webhook")
    return [inbound for inbounds in found.values() for inbound in inbounds[:EACH]]


def _forged(inbound: Inbound, key: str) -> list[tuple[str, Inbound]]:
    changed = inbound.body.replace(b"1", b"2", 1) if b"1" in inbound.body else inbound.body + b" "
    signs = [name for name in inbound.headers if "hmac" in name or "signature" in name or name == key]
    unsigned = {name: value for name, value in inbound.headers.items() if name not in signs}
    emptied = {name: "" if name in signs else value for name, value in inbound.headers.items()}
    strange = {name: "é" * 44 if name in signs else value for name, value in inbound.headers.items()}
    of_the_body = [
        ("with a changed body", replace(inbound, body=changed)),
        ("with an empty body", replace(inbound, body=b"")),
    ]
    return [
        *([] if key else of_the_body),
        ("without a signature", replace(inbound, headers=unsigned)),
        ("with an empty signature", replace(inbound, headers=emptied)),
        ("with a signature that is no ASCII", replace(inbound, headers=strange)),
    ]


def _refused(connector: Connector, inbound: Inbound, told: str) -> None:
    try:
        connector.receive(inbound)
    except SignatureError:
        return
    except BadInputError as error:
        demand(False, f"a webhook {told} is {type(error).__name__}, not SignatureError: {error}")
    demand(False, f"a webhook {told} was taken; raise SignatureError before anything of it is read")
