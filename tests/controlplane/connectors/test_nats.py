"""A stream of NATS in a policy: what may be said of it, and what is refused. What a real server does is in tests/integration."""

from __future__ import annotations

import pytest

from controlplane.connectors.builtin.nats.connector import NatsConnector
from controlplane.errors import SettingsError
from controlplane.registry.manifests import declared_connectors
from rules.policy.lint import lint
from rules.policy.reading import read_policies
from tests.addresses import pairs_of
from tests.controlplane.connectors.conftest import Given

POLICIES = """\
{{apiVersion: trueup/v1, kind: Team, metadata: {{name: ops}}, spec: {{members: [{{username: a, name: A}}]}}}}
---
apiVersion: trueup/v1
kind: System
metadata: {{name: bus}}
spec: {{connector: nats, owner: ops, role: bi, endpoint: '{endpoint}', internal: {internal}, options: {options}, secrets: {secrets}}}
"""


def told(endpoint: str, options: str, secrets: str = "{}") -> list[tuple[str, str, str]]:
    """Path, rule and remedy of what the lint finds."""
    internal = str(list(pairs_of(endpoint)))
    text = POLICIES.format(endpoint=endpoint, internal=internal, options=options, secrets=secrets)
    entries, refused = read_policies([("bus.yaml", text)])
    return [(one.path, one.rule, one.remedy) for one in [*refused, *lint(entries, declared_connectors())]]


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("nats://127.0.0.1", "{stream: RETAIL, group: plane}"),
        ("tls://n.example:4333", "{stream: RETAIL, group: plane, subject: 'retail.*.sales', prefetch: 1000}"),
        ("tls://n.example", "{stream: RETAIL, subject: retail.out}"),
    ],
)
def test_a_stream_is_a_system_that_is_read_or_put_into(endpoint: str, options: str) -> None:
    assert told(endpoint, options) == []
    assert told(endpoint, options, "{user: env:U, password: file:p}") == []
    assert told(endpoint, options, "{token: env:T}") == []


@pytest.mark.parametrize(
    ("endpoint", "options", "path", "rule"),
    [
        ("amqp://n.example", "{stream: S, group: g}", "spec.endpoint", "'amqp' is no scheme of NATS"),
        ("tls:///x", "{stream: S, group: g}", "spec.endpoint", "names no host"),
        ("tls://me:hush@n.example", "{stream: S, group: g}", "spec.endpoint", "holds a login"),
        ("tls://n.example/x", "{stream: S, group: g}", "spec.endpoint", "more than host and port"),
        ("tls://n.example", "{group: g}", "spec.options", "names no stream"),
        ("tls://n.example", "{stream: S}", "spec.options", "neither read nor put into"),
        ("tls://n.example", "{stream: 'a.b', group: g}", "spec.options.stream", "'a.b' is no stream"),
        ("tls://n.example", "{stream: S, group: ''}", "spec.options.group", "'' is no name of a group"),
        ("tls://n.example", "{stream: S, subject: 'a.*'}", "spec.options.subject", "'a.*' is no subject"),
        ("tls://n.example", "{stream: S, group: g, prefetch: 0}", "spec.options.prefetch", "0 is no number of records"),
        ("tls://n.example", "{stream: S, group: g, grup: h}", "spec.options.grup", "takes no option 'grup'"),
    ],
)
def test_what_leads_to_no_stream_is_refused_with_its_place(endpoint: str, options: str, path: str, rule: str) -> None:
    [(place, said, mend)] = told(endpoint, options)
    assert (place, rule in said) == (path, True)
    assert "hush" not in said + mend


def test_a_policy_that_was_never_linted_is_refused_when_the_connector_is_made() -> None:
    with pytest.raises(SettingsError, match=r"System 'theirs': endpoint: .*; options: it names no stream"):
        NatsConnector(Given("kafka://b.example").context())
