"""Standard Webhooks: the published vectors, secrets that change, and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.connectors.builtin.webhook.connector import WebhookConnector
from controlplane.connectors.contract import Inbound, SignatureError
from controlplane.connectors.standard_webhooks import identity_of, keys_of, signature, verified
from controlplane.errors import SettingsError
from rules.outcomes import Result
from tests.controlplane.connectors.bad_server import BadServer
from tests.controlplane.connectors.conftest import Given
from tests.controlplane.connectors.test_webhook import notified

# facts of the specification's own libraries: secret, id, time and body, and the signature that they make of them
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
ANOTHER = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NOW = datetime.fromtimestamp(AT, UTC)


def inbound(body: bytes = BODY, **changed: str | None) -> Inbound:
    """The published webhook, with headers changed or left out."""
    headers = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNED}
    for name, value in changed.items():
        if value is None:
            del headers[f"webhook-{name}"]
        else:
            headers[f"webhook-{name}"] = value
    return Inbound(headers, body)


@pytest.mark.parametrize("secret", [SECRET, f"whsec_{SECRET}"])
def test_the_published_vector_is_signed_and_verified_with_or_without_the_prefix(secret: str) -> None:
    [key] = keys_of(secret)
    assert signature(key, ID, AT, BODY) == SIGNED
    assert verified(inbound(), [key], NOW) == ID


def test_one_of_several_signatures_that_fits_is_enough_and_other_versions_are_passed_over() -> None:
    told = " ".join([ANOTHER, ANOTHER.replace("v1", "v2"), SIGNED, ANOTHER])
    assert verified(inbound(signature=told), keys_of(SECRET), NOW) == ID
    with pytest.raises(SignatureError, match="no signature of the webhook fits"):
        verified(inbound(signature=SIGNED.replace("v1", "v2")), keys_of(SECRET), NOW)


def test_while_the_secret_changes_either_is_taken_and_then_the_old_one_is_not() -> None:
    both = keys_of(f"{OTHER_SECRET} {SECRET}")
    assert verified(inbound(), both, NOW) == ID
    with pytest.raises(SignatureError):
        verified(inbound(), both[:1], NOW)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda: inbound(id=None), "lacks one of the headers"),
        (lambda: inbound(timestamp=None), "lacks one of the headers"),
        (lambda: inbound(signature=None), "lacks one of the headers"),
        (lambda: inbound(timestamp="hello"), "no number of seconds"),
        (lambda: inbound(timestamp=f"0{AT}"), "no number of seconds"),
        (lambda: inbound(timestamp=f"{AT}.0"), "no number of seconds"),
        (lambda: inbound(timestamp="9" * 40), "no number of seconds"),
        (lambda: inbound(signature="v1,dawfeoifkpqwoekfpqoekf"), "no signature of the webhook fits"),
        (lambda: inbound(signature=SIGNED[:8]), "no signature of the webhook fits"),
        (lambda: inbound(signature="v1,"), "no signature of the webhook fits"),
        (lambda: inbound(signature="v1,\u00e9"), "no signature of the webhook fits"),
        (lambda: inbound(id="msg_other"), "no signature of the webhook fits"),
        (lambda: inbound(BODY + b" "), "no signature of the webhook fits"),
    ],
)
def test_a_webhook_that_was_changed_or_is_not_whole_is_refused(changed: Callable[[], Inbound], reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        verified(changed(), keys_of(SECRET), NOW)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_what_was_signed_more_than_five_minutes_from_our_time_is_refused(seconds: int) -> None:
    with pytest.raises(SignatureError, match="more than 0:05:00 from our time"):
        verified(inbound(), keys_of(SECRET), NOW + timedelta(seconds=seconds))
    nearer = NOW + timedelta(seconds=seconds - (1 if seconds > 0 else -1))
    assert verified(inbound(), keys_of(SECRET), nearer) == ID


@pytest.mark.parametrize("secret", ["", "  ", "whsec_", "whsec_hush!hush", "whsec_aHVzaA=="])
def test_a_secret_that_is_none_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError) as refused:
        keys_of(secret, "the secret 'signing_secret'")
    assert "hush" not in str(refused.value)
    assert "aHVzaA" not in str(refused.value)


def test_the_id_of_a_webhook_is_the_same_for_each_try_and_has_no_full_stop() -> None:
    assert identity_of("drift:a.b:trigger:1") == identity_of("drift:a.b:trigger:1")
    assert identity_of("drift:a.b:trigger:1") != identity_of("drift:a.b:trigger:2")
    assert "." not in identity_of("drift:a.b:trigger:1")


def test_a_notification_is_signed_at_each_try_with_every_secret_over_the_bytes_that_are_sent(
    bad_server: BadServer,
) -> None:
    given = Given(bad_server.url, secrets={"token": "s3cret-token", "signing_secret": f"{OTHER_SECRET} whsec_{SECRET}"})
    connector = WebhookConnector(given.context(frozenset(given.secrets)))
    assert connector.write(notified()).result is Result.DELIVERED
    given.clock.advance(60)
    assert connector.write(notified()).result is Result.DELIVERED
    connector.close()
    seen = [Inbound(headers, body) for _, _, headers, body in bad_server.asked]
    now = given.clock.now()
    for secret in (OTHER_SECRET, SECRET):
        assert len({verified(one, keys_of(secret), now) for one in seen}) == 1
    assert len({one.headers["webhook-timestamp"] for one in seen}) == 2
    assert {one.headers["authorization"] for one in seen} == {"Bearer s3cret-token"}


def test_without_a_signing_secret_nothing_is_signed(bad_server: BadServer) -> None:
    connector = WebhookConnector(Given(bad_server.url, secrets={"token": "s3cret-token"}).context())
    connector.write(notified())
    connector.close()
    assert "webhook-signature" not in bad_server.asked[0][2]
