"""The policies, and what they lean on outside: plugins, secrets, systems that answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType

from controlplane import plugins
from controlplane.access import disabled
from controlplane.connectors import Connections
from controlplane.connectors.connections import context_of, resolve_secret
from controlplane.connectors.contract import UnsupportedError
from controlplane.doctor.answers import Answer, NotLookedError, ok, softened, warning, wrong
from controlplane.doctor.subject import Subject
from controlplane.errors import BlockedAddressError, ConnectorError, SettingsError, ThrottledError, TrueupError
from controlplane.registry import Snapshot
from controlplane.registry.manifests import declared_connectors, unknown_comparisons
from controlplane.registry.risk import staffing
from rules.addresses import place_of
from rules.policy.kinds import System
from rules.policy.lint import lint
from rules.policy.reading import Entry, nearest

AT_ONCE = 8
WAITING = ("failed_messages", "deliveries_given_up")
"""Indicators of what waits for a person."""
PROBED = ("http", "https")
"""Schemes of what is connected to where its connector has no ping."""


def policies(subject: Subject) -> Iterator[Answer]:
    """See that there are policies, and that they are as clean as when they were approved: plugins may have changed since."""
    try:
        snapshot = subject.snapshot
    except NotLookedError as error:
        if str(error) != "the registry is empty":
            raise
        yield warning("policies", str(error), "start the plane with a pack: `trueup up --pack NAME`")
        return
    entries = [Entry(document) for document in snapshot.documents.values()]
    with subject.store.read() as conn:
        gone = disabled(conn)
    problems = sorted([*lint(entries, declared_connectors(), gone=gone), *unknown_comparisons(entries)])
    yield ok("policies", f"registry version {snapshot.version}, {len(entries)} policies, {len(problems)} problems")
    for problem in problems:
        about = f"{problem.kind}/{problem.name}"
        yield wrong("policies", f"{problem.path}: {problem.rule}", f"{problem.remedy} (by a change request)", about)


def owners(subject: Subject) -> Iterator[Answer]:
    """See that of each team that owns something somebody has an account, and can look at it and decide."""
    with subject.store.read() as conn:
        found = staffing(conn, subject.snapshot)
    if found.nobody:
        rule, _, remedy = found.nobody.partition(". ")
        yield warning("owners", rule, remedy)
        return
    yield ok("owners", f"{found.people} people have accounts, and so has one at least of each team that owns something")


def alerts(subject: Subject) -> Iterator[Answer]:
    """See that somebody is told of records that wait for a person."""
    told = {rule.spec.indicator for rule in subject.snapshot.alert_rules.values()}
    if told.isdisjoint(WAITING):
        remedy = f"add an AlertRule on {WAITING[0]}, with a Team that answers (by a change request)"
        yield warning(
            "alerts", "no AlertRule reads how many records wait for a person, so nobody is told of them", remedy
        )
        return
    yield ok("alerts", f"{len(subject.snapshot.alert_rules)} alert rules; somebody is told of records that wait")


def connectors(subject: Subject) -> Iterator[Answer]:
    """See that every connector that a System names can be loaded."""
    named = sorted({system.spec.connector for system in subject.snapshot.systems.values()})
    broken = [answer for name in named if (answer := _broken(name))]
    yield from broken
    if not broken:
        yield ok("connectors", f"installed: {', '.join(named) or 'none is needed'}")


def _broken(name: str) -> Answer | None:
    known = plugins.registered("connectors")
    if name not in known:
        remedy = f"install the package that has it; {nearest(name, known, 'connectors')}"
        return wrong("connectors", f"there is no connector plugin '{name}'", remedy, name)
    try:
        plugins.load("connectors", name)
    except Exception as error:  # noqa: BLE001 - another's plugin may break in any way when it is imported
        return wrong(
            "connectors", f"it cannot be loaded: {error!r}", f"install anew what {known[name].value} comes from", name
        )
    return None


def secrets(subject: Subject) -> Iterator[Answer]:
    """See that every secret that a System refers to is there."""
    missing, found = [], 0
    for system in subject.snapshot.systems.values():
        for name, reference in system.spec.secrets.items():
            if subject.offline and reference.startswith("vault:"):
                continue
            try:
                what = f"the secret '{name}' of System '{system.name}'"
                subject.redactor.learn(resolve_secret(what, reference, subject.settings, subject.vault))
                found += 1
            except SettingsError as error:
                missing.append(wrong("secrets", str(error), _where_to_set(reference, subject), system.name))
    yield from missing if subject.plane_runs else [_sandbox_to_come(subject, answer) for answer in missing]
    if found or not missing:
        yield ok("secrets", f"{found} of {found + len(missing)} references lead to a value{_fixed(subject)}")


def _fixed(subject: Subject) -> str:
    """What cannot be rotated under a running plane: nobody can change a variable of a process from outside."""
    fixed = [
        f"{system.name}/{name}"
        for system in subject.snapshot.systems.values()
        for name, reference in system.spec.secrets.items()
        if reference.startswith("env:")
    ]
    if not fixed:
        return ""
    return f"; a new value of {', '.join(fixed)} (env:) takes a restart of the plane and its workers, of file: and vault: none"


def _where_to_set(reference: str, subject: Subject) -> str:
    source, _, name = reference.partition(":")
    if source == "env":
        return f"set {name} where the plane and its workers run, and where you run this"
    if source == "vault":
        return "do what it says, and look again; the plane keeps what it has while Vault is away"
    return f"write it to {subject.settings.secrets / name}, mode 600"


def _sandbox_to_come(subject: Subject, answer: Answer) -> Answer:
    """What the sandbox retailer makes at its first start is not missing before that."""
    system = subject.snapshot.systems[answer.about]
    return softened(answer) if of_sandbox(system) and not subject.settings.secrets.exists() else answer


def of_sandbox(system: System) -> bool:
    """Whether the system is one of the sandbox retailer's."""
    return "${SANDBOX}" in system.spec.endpoint


def endpoints(subject: Subject) -> Iterator[Answer]:
    """Ask every system whether it answers, side by side, each for a few seconds at most."""
    if subject.offline:
        yield ok("endpoints", "not asked (--offline)")
        return
    with hurried(subject) as connections, ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda name: _endpoint(subject, connections, name), sorted(subject.snapshot.systems))


@contextmanager
def hurried(subject: Subject) -> Iterator[Connections]:
    """Give the connectors of the systems with time-outs of some seconds, and close them at the end."""
    connections = Connections(_Hurried(subject.snapshot, subject.seconds), subject.settings, subject.clock)
    try:
        yield connections
    finally:
        connections.close()


def _endpoint(subject: Subject, connections: Connections, name: str) -> Answer:
    try:
        return _asked(subject, connections, name)
    except BlockedAddressError as error:
        rule, _, remedy = str(error).partition("; ")
        return wrong("endpoints", rule, f"{remedy} (by a change request)", name)
    except ThrottledError as error:
        return warning(
            "endpoints", f"answers, and asks to slow down: {error}", "nothing now; compare its limit with `rate`", name
        )
    except ConnectorError as error:
        found = wrong("endpoints", str(error), "look at the vendor's status; at endpoint, secrets and network", name)
        return softened(found) if of_sandbox(subject.snapshot.systems[name]) and not subject.plane_runs else found
    except TrueupError as error:
        return warning("endpoints", f"not asked: {error}", "mend that first; see connectors and secrets", name)
    except Exception as error:  # noqa: BLE001 - a defect of one plugin must not hide how the other systems stand
        return wrong("endpoints", f"defect in the connector: {error!r}", "tell the maker of the connector", name)


def _asked(subject: Subject, connections: Connections, name: str) -> Answer:
    try:
        connections.get(name).ping()
    except UnsupportedError:
        return _connected(subject, name)
    return ok("endpoints", "answers", name)


def _connected(subject: Subject, name: str) -> Answer:
    """What has no ping is connected to and let go again, where its endpoint is an address."""
    system = subject.snapshot.systems[name]
    context = context_of(subject.snapshot, name, subject.settings, subject.clock)
    scheme, pair = place_of(context.endpoint) or ("", None)
    if scheme not in PROBED or pair is None:
        return ok("endpoints", "not asked: its connector has no ping", name)
    try:
        context.door.connect(pair.host, pair.port, subject.seconds).close()
    except OSError as error:
        remedy = "look at the endpoint of the System policy, and at network and firewall"
        found = wrong("endpoints", f"no connection to {pair}: {error.strerror or error}", remedy, name)
        return softened(found) if of_sandbox(system) and not subject.plane_runs else found
    return ok("endpoints", f"{pair} takes connections; its connector has no ping", name)


@dataclass(frozen=True, slots=True)
class _Hurried:
    """The policies, with every system's time-out cut to a few seconds."""

    given: Snapshot
    seconds: float

    def snapshot(self) -> Snapshot:
        """Return the policies with the short time-outs."""
        most = timedelta(seconds=self.seconds)
        documents = dict(self.given.documents)
        for name, system in self.given.systems.items():
            spec = system.spec.model_copy(update={"timeout": min(system.spec.timeout, most)})
            documents["System", name] = system.model_copy(update={"spec": spec})
        return replace(self.given, documents=MappingProxyType(documents))
