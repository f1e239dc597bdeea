"""All checks in the order in which one leans on another, each guarded: one that breaks is an answer too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from controlplane.doctor import database, engine, home, plane, policies, settings
from controlplane.doctor.answers import Answer, NotLookedError, warning, wrong
from controlplane.doctor.subject import Subject

Check = Callable[[Subject], Iterator[Answer]]

CHECKS: dict[str, Check] = {
    "settings": home.settings,
    "home": home.home,
    "owner": home.owner,
    "permissions": home.permissions,
    "file system": home.file_system,
    "anchors": home.anchors,
    "keys": home.keys,
    "plane": plane.plane,
    "database": database.database,
    "schema": database.schema,
    "durability": database.durability,
    "connections": database.connections,
    "action log": database.action_log,
    "confined people": database.confined,
    "clock offset": database.clock,
    "clock": plane.future,
    "broker": engine.broker,
    "workers": engine.workers,
    "policies": policies.policies,
    "owners": policies.owners,
    "alerts": policies.alerts,
    "connectors": policies.connectors,
    "secrets": policies.secrets,
    "endpoints": policies.endpoints,
    "settings at systems": settings.settings,
    "progress": plane.progress,
    "judging": plane.judging,
    "systems": plane.systems,
}
"""Name to check. A check answers once for each thing that it looks at, and not at all where there is nothing to look at."""


def examine(subject: Subject) -> Iterator[Answer]:
    """Yield what every check answers, as it answers; passwords of the settings are hidden in all of it."""
    for name, check in CHECKS.items():
        for answer in _guarded(name, check, subject):
            text = subject.redactor.text
            yield replace(answer, detail=text(answer.detail), remedy=text(answer.remedy))


def _guarded(name: str, check: Check, subject: Subject) -> Iterator[Answer]:
    try:
        yield from check(subject)
    except NotLookedError as error:
        yield warning(name, f"not looked at: {error}", "mend that first, and ask again")
    except Exception as error:  # noqa: BLE001 - whatever breaks here is what somebody has to know of
        told = database.reason_of(error)
        yield wrong(
            name, f"the check broke: {type(error).__name__}: {told}", "mend what it names; if that is nothing, tell us"
        )
