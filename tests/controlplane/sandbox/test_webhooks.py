"""Retries by each vendor's schedule, always the original payload under the original id."""

from tests.controlplane.sandbox.client import Client, Listener

SKU = "0007-BLK-M"


def test_a_refused_webhook_is_sent_again_unchanged(sandbox: Client, listener: Listener) -> None:
    listener.answer = lambda attempt: 503 if attempt <= 2 else 200
    sandbox.set_stock(SKU, 30, 38, "k1")
    standing = sandbox.advance("2026-11-27T06:00:05Z")
    assert (standing["webhooks_pending"], standing["next_at"]) == (1, "2026-11-27T06:00:11.000Z")
    sandbox.set_stock(SKU, 20, 30, "k2")
    sandbox.advance("2026-11-27T06:02:00Z")
    first = [(head["X-Shopify-Webhook-Id"], body) for _, head, body in listener.got if b'"available":30' in body]
    assert len(first) >= 2
    assert len(set(first)) == 1
    fates = [(event["fate"], event["attempts"]) for event in sandbox.journal("webhook")]
    assert sorted(fates) == [("sent", 2), ("sent", 2)]


def test_the_shop_gives_up_after_eight_retries_within_four_hours(sandbox: Client, listener: Listener) -> None:
    listener.answer = lambda _: 500
    sandbox.set_stock(SKU, 30, 38, "k1")
    standing = sandbox.advance("2026-11-27T10:00:00Z")
    assert (len(listener.got), standing["webhooks_pending"]) == (9, 0)
    assert [event["fate"] for event in sandbox.journal("webhook")] == ["failed"]


def test_the_warehouse_gives_up_after_five_retries(sandbox: Client, listener: Listener) -> None:
    listener.answer = lambda _: 500
    sandbox.bring_to_warehouse("#1", (SKU, 41))
    sandbox.advance("2026-11-27T09:00:00Z")
    ids = [head["X-Shiphero-Message-Id"] for _, head, _ in listener.got]
    assert (len(ids), len(set(ids))) == (6, 1)


def test_an_absent_plane_costs_nothing_but_time(sandbox: Client, listener: Listener) -> None:
    sandbox.set_stock(SKU, 30, 38, "k1")
    listener.answer = lambda attempt: 200 if attempt > 3 else 503
    assert sandbox.advance("2026-11-27T07:00:00Z")["webhooks_pending"] == 0
    assert [event["attempts"] for event in sandbox.journal("webhook")] == [4]
