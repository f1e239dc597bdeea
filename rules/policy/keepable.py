"""Promises that another document makes impossible: too late to be kept, or with nobody there to answer for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from rules.policy import kinds as k
from rules.policy.kinds import format_duration
from rules.policy.problems import Path
from rules.policy.reading import Entry
from rules.policy.sense import EntryFlaw, Flaw


@dataclass(frozen=True, slots=True)
class People:
    """Whose accounts are in use."""

    names: Set[str]
    """By which they are known: of somebody from a provider the account's name, and what the provider calls him."""
    teams: Set[str]
    """That they belong to by their accounts."""

    def live(self, name: str, team: k.TeamSpec) -> bool:
        """Whether anybody of a team can sign in here: look at what is wrong, and approve what is asked of it."""
        return name in self.teams or any(member.username in self.names for member in team.members)


def unattended(entries: Sequence[Entry], people: People) -> Iterator[EntryFlaw]:
    """Yield each policy whose owner is a team of which nobody has an account in use."""
    teams = {one.document.name: one.document.spec for one in entries if isinstance(one.document, k.Team)}
    for entry in entries:
        owner = getattr(getattr(entry.document, "spec", None), "owner", None)
        if owner in teams and not people.live(owner, teams[owner]):
            rule = f"of the Team '{owner}' nobody has an account in use here"
            remedy = "name another Team, have a member sign in (or make the account), or write the accounts' names as members"
            yield entry, ("spec", "owner"), rule, remedy


def unkeepable(entries: Sequence[Entry], gone: Set[str]) -> Iterator[EntryFlaw]:
    """Yield what cannot be kept by these documents as a whole. `gone`: usernames whose accounts are disabled."""
    documents = [entry.document for entry in entries]
    retries = {one.name: one.spec for one in documents if isinstance(one, k.RetryPolicy)}
    domains = {one.name: one.spec for one in documents if isinstance(one, k.Domain)}
    teams = {one.name: one.spec for one in documents if isinstance(one, k.Team)}
    dead = frozenset(name for name, team in teams.items() if not _alive(team.members, gone))
    silent = frozenset(name for name, team in teams.items() if not _alive(_on_call(team), gone))
    for entry in entries:
        found = [*_unowned(entry.document, dead)]
        if isinstance(entry.document, k.Flow):
            found += [*_given_up_late(entry.document.spec, retries), *_too_slow(entry.document.spec, domains)]
        elif isinstance(entry.document, k.EscalationPath):
            found += _unanswered(entry.document.spec, silent)
        for path, rule, remedy in found:
            yield entry, path, rule, remedy


def _on_call(team: k.TeamSpec) -> list[k.Member]:
    return [member for member in team.members if member.on_call]


def _alive(members: Iterable[k.Member], gone: Set[str]) -> bool:
    return any(member.username.strip() and member.username not in gone for member in members)


def _given_up_late(spec: k.FlowSpec, retries: Mapping[str, k.RetryPolicySpec]) -> Iterator[Flaw]:
    if spec.retry_past_promise.strip():
        return
    for name, path in _retries(spec):
        if name in retries and retries[name].budget > spec.promise:
            budget, promise = format_duration(retries[name].budget), format_duration(spec.promise)
            rule = (
                f"'{name}' goes on for {budget}, and the flow promises {promise}: nobody is asked before it is broken"
            )
            yield path, rule, "shorten the budget, or say in 'retry_past_promise' why late is better than a person"


def _retries(spec: k.FlowSpec) -> Iterator[tuple[str, Path]]:
    """Yield the retry policies that deliveries of a flow fall under, and where they are named."""
    if any(target.retry is None for target in spec.targets):
        yield spec.retry, ("spec", "retry")
    for position, target in enumerate(spec.targets):
        if target.retry is not None:
            yield target.retry, ("spec", "targets", position, "retry")


def _too_slow(spec: k.FlowSpec, domains: Mapping[str, k.DomainSpec]) -> Iterator[Flaw]:
    domain = domains.get(spec.domain)
    if domain is None:
        return
    latency = format_duration(domain.latency)
    if spec.promise > domain.latency:
        rule = f"the flow promises {format_duration(spec.promise)}, and its domain '{spec.domain}' {latency}"
        yield ("spec", "promise"), rule, f"write at most {latency}, or give the domain more time"
    if spec.method != "event" and spec.poll_every is not None and spec.poll_every > domain.latency:
        rule = f"what is read every {format_duration(spec.poll_every)} cannot be everywhere within the {latency} of '{spec.domain}'"
        yield ("spec", "poll_every"), rule, f"write at most {latency}, or give the domain more time"


def _unowned(document: k.Document, dead: Set[str]) -> Iterator[Flaw]:
    owner = getattr(getattr(document, "spec", None), "owner", None)
    if owner in dead:
        rule = f"of the Team '{owner}' nobody is left: all its members' accounts are disabled"
        yield ("spec", "owner"), rule, "name another Team, or give this one a member"


def _unanswered(spec: k.EscalationPathSpec, silent: Set[str]) -> Iterator[Flaw]:
    for position, step in enumerate(spec.steps):
        if step.team in silent:
            rule = f"of the Team '{step.team}' nobody is on call"
            yield ("spec", "steps", position, "team"), rule, "name another Team, or put a member on call"
