"""People who come from an identity provider: what their groups grant, and the account that stands for each of them here.

Whoever no group gives a role is not let in. Roles and team are taken anew from the groups at every sign-in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from controlplane import audit
from controlplane.access.rights import ROLES, Actor, Proof
from controlplane.clock import Clock
from controlplane.errors import SettingsError, SignInError
from controlplane.store import Store, signals
from controlplane.store import tables as t
from rules.reach import EVERYTHING, KEYS, Reach

ACCOUNT = t.account


@dataclass(frozen=True, slots=True)
class Grant:
    """What a group gives."""

    roles: frozenset[str] = frozenset()
    team: str | None = None
    reach: Reach = EVERYTHING


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody whom a provider vouches for. Issuer and subject say who it is; the names are only shown."""

    issuer: str
    subject: str
    known_as: str
    display_name: str
    grant: Grant
    proof: Proof

    @property
    def actor(self) -> Actor:
        """As somebody who asks for something, before there is an account."""
        return Actor(self.known_as, self.grant.roles, self.grant.team, self.issuer, self.proof, reach=self.grant.reach)


def read_roles(text: str) -> dict[str, Grant]:
    """Return group -> grant, in the order they are written. Raises SettingsError naming what is wrong."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is no JSON ({error})") from None
    if not isinstance(found, dict) or not found:
        raise _wrong("names no group")
    return {group: _grant(group, given) for group, given in found.items()}


def _grant(group: str, given: Any) -> Grant:
    if not isinstance(given, dict) or not set(given) <= {"roles", "team", "reach"}:
        raise _wrong(f"'{group}' holds something else than `roles`, `team` and `reach`")
    roles, team = given.get("roles"), given.get("team")
    if not isinstance(roles, list) or not roles:
        raise _wrong(f"'{group}' gives no list of roles")
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise _wrong(f"'{group}' gives the role '{unknown[0]}', and there are: {', '.join(ROLES)}")
    if team is not None and not (isinstance(team, str) and 0 < len(team) <= 200):
        raise _wrong(f"'{group}' has a team that is no name")
    return Grant(frozenset(roles), team, _reach(group, given.get("reach")))


def _reach(group: str, given: Any) -> Reach:
    """Read what a group is confined to. One that names nothing is a slip, and not everything."""
    if given is None:
        return EVERYTHING
    if not isinstance(given, dict) or not given or not set(given) <= set(KEYS):
        raise _wrong(
            f"the `reach` of '{group}' names none of {', '.join(KEYS)}, or something else; leave it out for everything"
        )
    if not all(
        isinstance(names, list) and names and all(isinstance(name, str) for name in names) for names in given.values()
    ):
        raise _wrong(f"the `reach` of '{group}' holds something else than lists of names")
    return Reach.read(given)


def _wrong(what: str) -> SettingsError:
    example = '{"platform-team": {"roles": ["editor"], "team": "integration-platform"}}'
    return SettingsError(f"TRUEUP_OIDC_ROLES: {what}; give JSON such as {example}")


def granted(mapping: Mapping[str, Grant], groups: Iterable[str]) -> Grant:
    """Return what somebody's groups give together: every role, and the team of the first in the mapping that has one.

    Of their reaches only what is common to all: otherwise the role of one group would be had where only another one reaches.
    """
    held = set(groups)
    grants = [grant for group, grant in mapping.items() if group in held]
    team = next((grant.team for grant in grants if grant.team), None)
    reach = reduce(Reach.meet, (grant.reach for grant in grants), EVERYTHING)
    return Grant(frozenset[str]().union(*(grant.roles for grant in grants)), team, reach)


def admit(store: Store, clock: Clock, member: Member) -> Actor:
    """Return the account of a member, made at the first sign-in and brought up to date at every other.

    Raises SignInError for one whose groups give no role, and for a disabled account. Either way it is in the action log.
    """
    try:
        actor, refusal = _admitted(store, clock, member)
    except IntegrityError:  # the same person signed in beside us for the first time, or somebody took the name
        actor, refusal = _admitted(store, clock, member)
    if refusal:
        raise SignInError(refusal)
    return actor


def refuse(store: Store, clock: Clock, issuer: str, reason: str) -> None:
    """Write to the action log that an answer of the provider let nobody in."""
    with store.write() as conn:
        audit.record(
            conn, clock, actor="nobody", action="account.sign_in_refused", subject=f"oidc/{issuer}", reason=reason
        )


def _admitted(store: Store, clock: Clock, member: Member) -> tuple[Actor, str]:
    with store.write() as conn:
        row = _known(conn, member)
        refusal = _refusal(row, member)
        name = row.name if row is not None else _free_name(conn, member)
        told = _Told(conn, clock, name)
        if row is None and not refusal:
            _create(told, member)
        elif row is not None and not row.disabled:
            _refresh(told, row, member)
        who = {"issuer": member.issuer, "subject": member.subject}
        told("account.sign_in_refused" if refusal else "account.sign_in", refusal, after=who | _of(member.proof))
    return replace(member.actor, name=name), refusal


class _Told:
    """Writes to the action log what happens to one account, by its owner's hand."""

    def __init__(self, conn: Connection, clock: Clock, name: str) -> None:
        self.conn, self.clock, self.name = conn, clock, name

    def __call__(self, action: str, reason: str = "", **seen: Any) -> None:
        subject = f"account/{self.name}"
        audit.record(self.conn, self.clock, actor=self.name, action=action, subject=subject, reason=reason, **seen)


def _known(conn: Connection, member: Member) -> Row[Any] | None:
    mine = (ACCOUNT.c.issuer == member.issuer) & (ACCOUNT.c.subject == member.subject)
    return conn.execute(select(ACCOUNT).where(mine)).one_or_none()


def _refusal(row: Row[Any] | None, member: Member) -> str:
    if row is not None and row.disabled:
        return f"the account '{row.name}' is disabled; ask an admin of this plane"
    if not member.grant.roles:
        return (
            f"'{member.known_as}' is known at {member.issuer}, and none of the groups there gives a role here; "
            "ask an admin of this plane which group does, and for a place in it"
        )
    return ""


def _create(told: _Told, member: Member) -> None:
    values = _values(member)
    row = {
        "name": told.name, "password_hash": "", "created_at": told.clock.now(), "disabled": False, "failed_logins": 0,
        "issuer": member.issuer, "subject": member.subject, **values,
    }  # fmt: skip
    told.conn.execute(insert(ACCOUNT).values(**row))
    told("account.create", after={**values, "issuer": member.issuer, "subject": member.subject})


def _refresh(told: _Told, row: Row[Any], member: Member) -> None:
    values = _values(member)
    before = {name: getattr(row, name) for name in values}
    if before == values:
        return
    told.conn.execute(update(ACCOUNT).where(ACCOUNT.c.name == row.name).values(**values))
    signals.note(told.conn, signals.ACCESS)
    told("account.roles", "the groups at the provider", before=before, after=values)


def _values(member: Member) -> dict[str, Any]:
    """What an account takes from its groups, and the name that is shown."""
    return {
        "roles": sorted(member.grant.roles), "team": member.grant.team, "display_name": member.display_name[:200],
        "reach": member.grant.reach.told(),
    }  # fmt: skip


def _of(proof: Proof) -> dict[str, Any]:
    at = proof.auth_time
    return {"auth_time": at.isoformat() if at else None, "acr": proof.acr, "amr": list(proof.amr)}


def _free_name(conn: Connection, member: Member) -> str:
    """Return a name for a new account that tells where it is from; one that is taken, by whomever, is left to its owner."""
    wanted = f"{member.known_as[:120]}@{urlsplit(member.issuer).hostname}"[:180]
    like = ACCOUNT.c.name.startswith(wanted, autoescape=True)
    taken = set(conn.execute(select(ACCOUNT.c.name).where(like)).scalars())
    others = (f"{wanted}#{number}" for number in range(2, len(taken) + 3))
    return wanted if wanted not in taken else next(name for name in others if name not in taken)
