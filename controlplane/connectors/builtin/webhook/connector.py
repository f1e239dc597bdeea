"""An incident tool's webhook inlet.

The vendor de-duplicates by `dedup_key` and by our Idempotency-Key, and has nothing to read. So a read-back cannot tell
whether a notification arrived; because telling it twice does no harm, it answers that the write may be sent again.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

from controlplane.connectors.auth import StaticHeader
from controlplane.connectors.contract import Connector, Context, Manifest, Write, WriteSpec
from controlplane.connectors.http import HttpClient
from controlplane.connectors.outcomes import answering_read_back, answering_write
from controlplane.connectors.redaction import Redactor
from controlplane.connectors.standard_webhooks import Signed, identity_of, keys_of
from rules.outcomes import Guarantee, Outcome, Result

SIGNING = "signing_secret"
HOW = "`dedup_key` and `Idempotency-Key`"


class WebhookConnector(Connector):
    """Notifications to one address. The endpoint is the whole address; the secret `token` goes as a bearer.

    With the secret `signing_secret` they are signed by Standard Webhooks; several, divided by spaces, all sign while one is changed.
    """

    manifest: ClassVar[Manifest] = Manifest(
        name="webhook",
        title="Incident tool (webhook)",
        writes=(WriteSpec("incident", ("incident.notified",), Guarantee.KEYED, how=HOW),),
        secrets=("token", "signing_secret"),
        optional_secrets=("signing_secret",),
        probes=(),
        kind="incident",
        auth="bearer token; signed by Standard Webhooks where a secret is given",
        gaps=("acknowledgements made in the tool do not come back",),
        verified_against="the sandbox; fields after PagerDuty's Events API v2",
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        token = context.secret("token")
        self._auth = StaticHeader("Authorization", f"Bearer {token}")
        signing = context.secret(SIGNING) if SIGNING in context.given else ""
        self._keys = keys_of(signing, f"the secret '{SIGNING}' of System '{context.system}'") if signing else ()
        self._http = HttpClient(context, Redactor([token, *signing.split()]))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @answering_write
    def write(self, request: Write) -> Outcome:
        """Post the notification."""
        self.manifest.write_spec(request.entity)
        told = notification(request)
        # header values are ASCII, and a fingerprint may name anything
        key = quote(f"{told['dedup_key']}:{told['event_action']}:{request.payload['sequence']}", safe=":/@#")
        headers = {"Idempotency-Key": key}
        auth = Signed(self._keys, identity_of(key), self.context.clock, self._auth) if self._keys else self._auth
        answer = self._http.send("POST", "", write=True, auth=auth, headers=headers, json=told)
        return Outcome(Result.DELIVERED, evidence=answer.evidence)

    @answering_read_back
    def read_back(self, request: Write) -> Outcome:
        """Answer UNSEEN: nothing can be read here, and the keyed inlet takes the same notification again unharmed."""
        self.manifest.write_spec(request.entity)
        return Outcome(
            Result.UNSEEN, "the inlet has nothing to read; it takes the same notification again without harm"
        )


def notification(request: Write) -> dict[str, Any]:
    """Return the event as the incident tool takes it."""
    told = request.payload
    return {
        "dedup_key": told["fingerprint"],
        "event_action": told["action"],
        "payload": {
            "summary": told["title"],
            "severity": "critical" if told["severity"] == "page" else "warning",
            "source": "trueup",
            "timestamp": str(told["opened_at"]),
            "custom_details": {
                name: told[name] for name in ("incident", "owner", "cause", "money_at_risk", "currency", "sequence")
            },
        },
        "links": [{"href": told["url"], "text": "Incident in Trueup"}] if told["url"] else [],
    }
