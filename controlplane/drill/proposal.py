"""What the drill proposes, as policy documents that can be checked, planned and approved like any others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controlplane.drill.run import Drilled
from controlplane.drill.target import Target
from controlplane.registry import Snapshot
from rules.capacity import Proposal
from rules.policy import kinds as k
from rules.policy.references import references
from rules.policy.writing import to_yaml


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of a proposal."""

    changed: tuple[k.Document, ...]
    named: tuple[k.Document, ...]
    """Unchanged, and there because the changed ones name them: a file is checked as one whole."""


def documents_of(policies: Snapshot, target: Target, proposal: Proposal) -> Documents:
    """Return the System with its new limits and the RetryPolicy, and what they name.

    A retry policy that governs other targets or flows too is not changed under them: the drilled target gets one of its own.
    """
    limits = {"rate": proposal.rate, "concurrency": proposal.concurrency, "timeout": proposal.timeout}
    system = target.system.model_copy(update={"spec": target.system.spec.model_copy(update=limits)})
    changed: list[k.Document] = [system, *_retry(policies, target, proposal.retry)]
    return Documents(tuple(changed), tuple(_named(policies, changed)))


def _retry(policies: Snapshot, target: Target, spec: k.RetryPolicySpec) -> list[k.Document]:
    flow, name = target.flow, retry_of(policies, target)
    current = policies.retry_policies[name]
    if spec == current.spec:
        return [current]
    if _users(policies, name) == {(flow.name, target.system.name)}:
        return [current.model_copy(update={"spec": spec})]
    own = _free_name(f"{flow.name}-{target.system.name}", policies.retry_policies)
    title = f"{flow.metadata.title or flow.name}, as the drill of {target.system.name} found"
    policy = k.RetryPolicy(
        apiVersion="trueup/v1", kind="RetryPolicy", metadata=k.Metadata(name=own, title=title), spec=spec
    )
    return [policy, _with_retry(flow, target.system.name, own)]


def retry_of(policies: Snapshot, target: Target) -> str:
    """Return the name of the RetryPolicy that governs what the flow owes the system."""
    return policies.retry_of(target.flow.name, target.system.name) or target.flow.spec.retry


def _users(policies: Snapshot, name: str) -> set[tuple[str, str]]:
    """Return (flow, target) of all that a RetryPolicy governs; '' for a flow that names it for targets to come."""
    found = {
        (flow.name, one.system, one.retry or flow.spec.retry)
        for flow in policies.flows.values()
        for one in flow.spec.targets
    }
    idle = {(flow.name, "", flow.spec.retry) for flow in policies.flows.values() if not flow.spec.targets}
    return {(flow, system) for flow, system, retry in found | idle if retry == name}


def _with_retry(flow: k.Flow, system: str, retry: str) -> k.Flow:
    """Return the flow with a retry policy of its own for one target."""
    targets = tuple(
        one.model_copy(update={"retry": retry}) if one.system == system else one for one in flow.spec.targets
    )
    return flow.model_copy(update={"spec": flow.spec.model_copy(update={"targets": targets})})


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    short, known = wanted[:58].rstrip("-"), set(taken)
    return next(name for name in (short, *(f"{short}-{n}" for n in range(2, 10_000))) if name not in known)


def _named(policies: Snapshot, changed: Iterable[k.Document]) -> Iterator[k.Document]:
    """Yield what the documents name, and what that names, until nothing is missing."""
    known = {(document.kind, document.name) for document in changed}
    waiting = list(changed)
    while waiting:
        document = waiting.pop()
        spec: k.Part = getattr(document, "spec")  # noqa: B009 - each kind declares its own; the base has none
        for reference in references(spec):
            key = (reference.kind, reference.name)
            if key not in known and key in policies.documents:
                known.add(key)
                waiting.append(policies.documents[key])
                yield policies.documents[key]


def to_text(target: Target, drilled: Drilled, documents: Documents) -> str:
    """Write the documents as one YAML file, the reasons as comments at its head."""
    proposal = drilled.proposal
    by = f"Proposed by a drill of System {target.system.name} with Flow {target.flow.name} ({target.entity})"
    reasons = [*drilled.knee.reasons, *(proposal.reasons if proposal else ()), _before(target)]
    head = [
        f"{by}, {drilled.started_at:%Y-%m-%d %H:%M} UTC, {drilled.writes} writes.",
        *(f"- {why}" for why in reasons),
    ]
    parts = ["".join(f"# {line}\n" for line in head), *map(_dumped, documents.changed)]
    if documents.named:
        parts.append(
            "# Unchanged from here on: what the documents above name, so that this file can be checked by itself.\n"
        )
        parts += map(_dumped, documents.named)
    return "---\n".join(parts)


def _before(target: Target) -> str:
    spec = target.system.spec
    rate = f"rate {spec.rate:g}" if spec.rate else "no rate"
    return f"before: {rate}, concurrency {spec.concurrency}, timeout {k.format_duration(spec.timeout)}"


def _dumped(document: k.Document) -> str:
    return to_yaml(document.model_dump(mode="json"))
