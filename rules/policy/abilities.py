"""What a connector declares, and the policies that ask for more than that."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from rules.model.messages import STATE_LIKE
from rules.outcomes import Guarantee
from rules.policy import kinds as k
from rules.policy.reading import nearest
from rules.policy.sense import Flaw

Check = Callable[[str, Mapping[str, Any]], Iterable[tuple[tuple[str, ...], str, str]]]
"""From a System's endpoint and options to what is wrong with them: path within the spec, rule, remedy."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A connector's manifest, as far as policies lean on it."""

    writes: frozenset[tuple[str, Guarantee]] = frozenset()
    """Entity and what protects it from taking effect twice."""
    takes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Entity -> the message types that it is written from; any, where it is not listed or nothing is."""
    late_effects: Mapping[str, timedelta] = field(default_factory=dict)
    """Entity -> for how long a write of it that was not answered may take effect; what is not listed, for no time."""
    reads: frozenset[str] = frozenset()
    """Entities that can be polled."""
    snapshots: frozenset[str] = frozenset()
    """Entities that can be read whole, as a comparison does."""
    listings: frozenset[str] = frozenset()
    """Entities of which each subject can be read, as comparisons of orders and of the catalogue do."""
    secrets: frozenset[str] = frozenset()
    webhook_secrets: frozenset[str] = frozenset()
    """Those of the secrets that only a System that sends webhooks has to have."""
    optional_secrets: frozenset[str] = frozenset()
    """Those of the secrets that may be left out."""
    options: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset({"http", "https"})
    """Schemes that an endpoint may have; none where it is a folder."""
    check: Check | None = None
    specific: Callable[[Mapping[str, Any]], Declared | None] | None = None
    """From a System's options to what its connector can do, where they declare it; None when they cannot be read."""


STOCK_FIELDS = frozenset({"on_hand", "available"})
Manifests = Mapping[str, Declared]
"""Connector name -> what it declares."""


def beyond(document: k.Document, documents: Sequence[k.Document], manifests: Manifests) -> Iterator[Flaw]:
    """Yield what the document asks of connectors beyond their manifests. `documents` is the whole that it belongs to."""
    if isinstance(document, k.System):
        yield from _system(document, documents, manifests)
    elif isinstance(document, k.Flow):
        yield from _flow(document.spec, *_abilities(documents, manifests))
        yield from _unverified(document.spec, documents, manifests)
    elif isinstance(document, k.Comparison):
        yield from _comparison(document.spec, *_abilities(documents, manifests))


def _abilities(documents: Iterable[k.Document], manifests: Manifests) -> tuple[dict[str, str], Manifests]:
    """Return System -> what its connector is called, and that -> what it can do; what is not known is left out."""
    systems = [one for one in documents if isinstance(one, k.System)]
    known = {one.name: found for one in systems if (found := declared_of(one.spec, manifests))}
    names = {one.name: _called(one, manifests) for one in systems}
    return names, {names[system]: found for system, found in known.items()}


def declared_of(spec: k.SystemSpec, manifests: Manifests) -> Declared | None:
    """Return what the connector of a System can do; None where there is none, or its options declare nothing that can be read."""
    general = manifests.get(spec.connector)
    return general.specific(spec.options) if general and general.specific else general


def _called(system: k.System, manifests: Manifests) -> str:
    general = manifests.get(system.spec.connector)
    return f"{system.spec.connector} of {system.name}" if general and general.specific else system.spec.connector


def _choose(given: str, known: Set[str], plural: str) -> str:
    return nearest(given, known, plural) if known else f"take it out: this connector has no {plural}"


def _system(document: k.System, documents: Sequence[k.Document], manifests: Manifests) -> Iterator[Flaw]:
    spec = document.spec
    general = manifests.get(spec.connector)
    if general is None:
        rule = f"there is no connector plugin '{spec.connector}'"
        yield ("spec", "connector"), rule, nearest(spec.connector, manifests, "connectors")
        return
    declared = declared_of(spec, manifests)
    if declared is None:
        yield from (
            (("spec", *path), rule, remedy)
            for path, rule, remedy in (general.check or _unchecked)(spec.endpoint, spec.options)
        )
        return
    for option in spec.options:
        if option not in declared.options:
            rule = f"the connector '{spec.connector}' takes no option '{option}'"
            yield ("spec", "options", option), rule, _choose(option, declared.options, "options")
    for secret in spec.secrets:
        if secret not in declared.secrets:
            yield _unknown_secret(spec.connector, secret, declared)
    checked = list(declared.check(spec.endpoint, spec.options)) if declared.check else []
    for path, rule, remedy in checked:
        yield ("spec", *path), rule, remedy
    if not any(path == ("endpoint",) for path, _, _ in checked):
        yield from _scheme(spec, declared)
    yield from _missing_secrets(document, declared, documents)


def _unchecked(_endpoint: str, _options: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    yield ("options",), "they declare no connector that can be read", "correct them"


def _unknown_secret(connector: str, secret: str, declared: Declared) -> Flaw:
    """A name that is like none there is may be the secret itself, written in the wrong place: it is not shown."""
    if difflib.get_close_matches(secret.lower(), declared.secrets, n=1):
        rule = f"the connector '{connector}' takes no secret '{secret}'"
        return ("spec", "secrets", secret), rule, _choose(secret, declared.secrets, "secrets")
    return (
        ("spec", "secrets"),
        f"the connector '{connector}' takes no such secret",
        _choose("", declared.secrets, "secrets"),
    )


def _scheme(spec: k.SystemSpec, declared: Declared) -> Iterator[Flaw]:
    scheme, found, _ = spec.endpoint.partition("://")
    if found and scheme.lower() not in declared.schemes:
        rule = f"the connector '{spec.connector}' speaks no {scheme}://"
        known = " or ".join(f"{one}://" for one in sorted(declared.schemes))
        yield ("spec", "endpoint"), rule, f"write an address of {known}" if known else "write the path of a folder"


def _missing_secrets(document: k.System, declared: Declared, documents: Sequence[k.Document]) -> Iterator[Flaw]:
    flows = (one.spec for one in documents if isinstance(one, k.Flow))
    hears = any(flow.source == document.name and flow.method == "event" for flow in flows)
    needed = declared.secrets if hears else declared.secrets - declared.webhook_secrets
    for secret in sorted(needed - declared.optional_secrets - set(document.spec.secrets)):
        webhook = secret in declared.webhook_secrets
        why = " to check webhooks, and a Flow of method event comes from here" if webhook else ""
        rule = f"the connector '{document.spec.connector}' needs the secret '{secret}'{why}"
        yield ("spec", "secrets"), rule, f"add '{secret}: env:NAME' or '{secret}: file:NAME' to spec.secrets"


def _flow(spec: k.FlowSpec, connectors: Mapping[str, str], manifests: Manifests) -> Iterator[Flaw]:
    source = connectors.get(spec.source, "")
    if spec.read is not None and source in manifests and spec.read not in manifests[source].reads:
        rule = f"the connector '{source}' cannot be polled for '{spec.read}'"
        yield ("spec", "read"), rule, _choose(spec.read, manifests[source].reads, "entities to poll")
    for position, target in enumerate(spec.targets):
        connector = connectors.get(target.system, "")
        if connector in manifests:
            path = ("spec", "targets", position, "entity")
            declared = manifests[connector]
            for rule, remedy in (
                *_target(spec, target, connector, declared.writes),
                *_taken(spec, target, connector, declared),
            ):
                yield path, rule, remedy


def _target(
    spec: k.FlowSpec, target: k.FlowTarget, connector: str, writes: Set[tuple[str, Guarantee]]
) -> Iterator[tuple[str, str]]:
    guarantees = {guarantee for entity, guarantee in writes if entity == target.entity}
    if not guarantees:
        rule = f"the connector '{connector}' does not write '{target.entity}'"
        yield rule, _choose(target.entity, {entity for entity, _ in writes}, "entities to write")
    documents = [name for name in spec.message_types if name not in STATE_LIKE]
    if Guarantee.NONE in guarantees and documents and not target.accept_risk:
        rule = f"{target.system}/{target.entity} does not protect {documents[0]} from taking effect twice"
        yield rule, "name the risk in 'accept_risk', or choose a target with a guarantee"


def _taken(spec: k.FlowSpec, target: k.FlowTarget, connector: str, declared: Declared) -> Iterator[tuple[str, str]]:
    """A message is made into what the target writes: one of another type has not the fields for it."""
    taken = declared.takes.get(target.entity, frozenset())
    for kind in spec.message_types if taken else ():
        if kind not in taken:
            fit = sorted(entity for entity, kinds in declared.takes.items() if kind in kinds)
            rule = f"the connector '{connector}' writes '{target.entity}' from {' or '.join(sorted(taken))}, not from {kind}"
            remedy = f"write entity: {' or '.join(fit)}" if fit else f"take {kind} out, or give it a flow of its own"
            yield rule, remedy


def _unverified(spec: k.FlowSpec, documents: Sequence[k.Document], manifests: Manifests) -> Iterator[Flaw]:
    """A write without an answer is read back when it cannot take effect any more: a budget that ends before gives it up in doubt."""
    systems = {one.name: one.spec for one in documents if isinstance(one, k.System)}
    budgets = {one.name: one.spec.budget for one in documents if isinstance(one, k.RetryPolicy)}
    for position, target in enumerate(spec.targets):
        name, system = target.retry or spec.retry, systems.get(target.system)
        declared = declared_of(system, manifests) if system else None
        if system is None or declared is None or name not in budgets:
            continue
        late = declared.late_effects.get(target.entity, timedelta(0))
        if late and budgets[name] < system.timeout + late:
            budget, least = k.format_duration(budgets[name]), k.format_duration(system.timeout + late)
            rule = (
                f"'{name}' gives up after {budget}, and a write to {target.system}/{target.entity} that was not answered within "
                f"{k.format_duration(system.timeout)} may take effect for {k.format_duration(late)} more: it could never be read back"
            )
            path = ("spec", "targets", position, "retry") if target.retry else ("spec", "retry")
            yield path, rule, f"give it a budget of {least} or more, or name another RetryPolicy for this target"


def _comparison(spec: k.ComparisonSpec, connectors: Mapping[str, str], manifests: Manifests) -> Iterator[Flaw]:
    for position, side in enumerate(spec.sides):
        connector = connectors.get(side.system, "")
        if connector not in manifests:
            continue
        of_stock = side.field in STOCK_FIELDS
        known = manifests[connector].snapshots if of_stock else manifests[connector].listings
        if side.entity not in known:
            rule = f"the connector '{connector}' has no {'snapshot' if of_stock else 'listing'} of '{side.entity}'"
            remedy = _choose(side.entity, known, "snapshots" if of_stock else "listings")
            yield ("spec", "sides", position, "entity"), rule, remedy
