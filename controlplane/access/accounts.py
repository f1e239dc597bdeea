"""Accounts: argon2id passwords, and a lock after too many failures."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select, update

from controlplane import audit
from controlplane.access.cooling import SETUP
from controlplane.access.denials import refused, unknown_name
from controlplane.access.rights import ROLES, Actor
from controlplane.clock import Clock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from controlplane.store import Store, signals
from controlplane.store import tables as t
from rules.policy.keepable import People
from rules.reach import EVERYTHING, Reach

ACCOUNT = t.account
MAX_FAILURES = 10
LOCK_TIME = timedelta(minutes=15)
SHORTEST = 10
LONGEST = 1024
"""Characters of a password; hashing a longer one would only cost time."""
PEOPLE = (
    ("ada", "Ada Okafor", ("editor",), "integration-platform"),
    ("ben", "Ben Carver", ("approver",), "finance-systems"),
    ("olga", "Olga Marin", ("operator",), "store-ops"),
    ("vic", "Vic Lindqvist", ("viewer",), "ecommerce"),
    ("wim", "Wim de Boer", ("approver",), "warehouse-ops"),
)
"""The sandbox's people, so that what takes two can be tried: name, full name, roles, team."""
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""argon2id at OWASP's recommended cost (19 MiB, 2 rounds, 1 lane): one sign-in holds up nobody else on a small machine."""


@cache
def _nobodys_hash() -> str:
    """A hash to check against when there is no such account, so that the time taken tells nothing."""
    return _hasher.hash(secrets.token_hex())


def create_account(
    store: Store,
    clock: Clock,
    name: str,
    password: str,
    roles: Iterable[str],
    *,
    actor: str,
    display_name: str = "",
    team: str | None = None,
    reach: Reach = EVERYTHING,
) -> Actor:
    """Make an account. Raises BadInputError for a short password or an unknown role, ConflictError when it exists."""
    chosen = sorted(set(roles))
    _refuse_roles(chosen)
    _refuse_name(name)
    hashed = _hash(password)
    row = {
        "name": name, "display_name": display_name or name, "password_hash": hashed, "roles": chosen, "team": team,
        "created_at": clock.now(), "disabled": False, "failed_logins": 0, "reach": reach.told(),
    }  # fmt: skip
    with store.write() as conn:
        if _row(conn, name) is not None:
            raise ConflictError(f"there is an account '{name}' already; choose another name, or change that account")
        conn.execute(insert(ACCOUNT).values(**row))
        after = {"roles": chosen, "team": team, "reach": reach.told()}
        audit.record(conn, clock, actor=actor, action="account.create", subject=f"account/{name}", after=after)
    return Actor(name, frozenset(chosen), team, reach=reach)


def _refuse_roles(roles: list[str]) -> None:
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise BadInputError(f"unknown role '{unknown[0]}'; roles there are: {', '.join(ROLES)}")


def _refuse_name(name: str) -> None:
    if not _plausible(name) or name == SETUP:
        raise BadInputError(
            f"{name!r} cannot be an account's name; give 1 to 200 printable characters, and not '{SETUP}'"
        )


def _plausible(name: str) -> bool:
    return 0 < len(name) <= 200 and name.isprintable()


def _hash(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        rule = f"the password has {len(password)} characters"
        raise BadInputError(f"{rule}; give {SHORTEST} to {LONGEST}")
    return _hasher.hash(password)


def _row(conn: Connection, name: str) -> dict[str, Any] | None:
    row = conn.execute(select(ACCOUNT).where(ACCOUNT.c.name == name)).mappings().one_or_none()
    return dict(row) if row else None


def find_actor(conn: Connection, name: str) -> Actor | None:
    """Return who an account is now, or None when there is none or it is disabled."""
    row = _row(conn, name) if _plausible(name) else None
    return None if row is None or row["disabled"] else _actor(row)


def everybody(conn: Connection) -> list[Actor]:
    """Return all whose account is in use, by name."""
    rows = conn.execute(select(ACCOUNT).where(ACCOUNT.c.disabled.is_(False)).order_by(ACCOUNT.c.name))
    return [_actor(dict(row)) for row in rows.mappings()]


def people(conn: Connection) -> People:
    """Return by which names whoever has an account in use is known, and their teams."""
    found = everybody(conn)
    called = {actor.name.removesuffix(f"@{urlsplit(actor.issuer).hostname}") for actor in found if actor.issuer}
    return People(called | {actor.name for actor in found}, {actor.team for actor in found if actor.team})


def disabled(conn: Connection) -> frozenset[str]:
    """Return the names of the accounts that are disabled."""
    return frozenset(conn.execute(select(ACCOUNT.c.name).where(ACCOUNT.c.disabled.is_(True))).scalars())


def _actor(row: dict[str, Any]) -> Actor:
    return Actor(row["name"], frozenset(row["roles"]), row["team"], row["issuer"], reach=Reach.read(row["reach"]))


def authenticate(store: Store, clock: Clock, name: str, password: str) -> Actor | None:
    """Return who it is when the password is right and the account neither locked nor disabled; otherwise None.

    Wrong name, wrong password and locked account take the same time and look the same from outside.
    """
    with store.read() as conn:
        row = _row(conn, name) if _plausible(name) else None
    right = _verify((row and row["password_hash"]) or _nobodys_hash(), password)
    if row is None or not row["password_hash"] or row["disabled"]:
        unknown_name(store, clock, name)
        return None
    if row["locked_until"] is not None and row["locked_until"] > clock.now():
        refused(store, clock, actor=name, action="account.sign_in_locked", subject=f"account/{name}")
        return None
    if right:
        return _succeeded(store, clock, row, password)
    _failed(store, clock, name)
    return None


def _verify(hashed: str, password: str) -> bool:
    if len(password) > LONGEST:
        return False
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _succeeded(store: Store, clock: Clock, row: dict[str, Any], password: str) -> Actor:
    changes: dict[str, Any] = {"failed_logins": 0, "locked_until": None}
    if _hasher.check_needs_rehash(row["password_hash"]):
        changes["password_hash"] = _hasher.hash(password)
    with store.write() as conn:
        conn.execute(update(ACCOUNT).where(ACCOUNT.c.name == row["name"]).values(**changes))
        subject = f"account/{row['name']}"
        audit.record(conn, clock, actor=row["name"], action="account.sign_in", subject=subject)
    return _actor(row)


def _failed(store: Store, clock: Clock, name: str) -> None:
    mine = ACCOUNT.c.name == name
    with store.write() as conn:
        counted = update(ACCOUNT).where(mine).values(failed_logins=ACCOUNT.c.failed_logins + 1)
        failures = conn.execute(counted.returning(ACCOUNT.c.failed_logins)).scalar_one()
        action, after = "account.sign_in_failed", {"failures": failures}
        if failures >= MAX_FAILURES:
            conn.execute(update(ACCOUNT).where(mine).values(failed_logins=0, locked_until=clock.now() + LOCK_TIME))
            action = "account.lock"
        audit.record(conn, clock, actor=name, action=action, subject=f"account/{name}", after=after)


def set_password(store: Store, clock: Clock, name: str, password: str, *, actor: str) -> None:
    """Give an account another password, unlock it and end its sessions. Raises NotFoundError, ConflictError."""
    hashed = _hash(password)
    with store.read() as conn:
        row = _row(conn, name)
    if row is not None and row["issuer"]:
        raise ConflictError(f"'{name}' signs in at {row['issuer']} and has no password here; change it there")
    _change(store, clock, name, "account.set_password", actor, password_hash=hashed, failed_logins=0, locked_until=None)


def disable_account(store: Store, clock: Clock, name: str, *, actor: str) -> None:
    """Let nobody in by this account any more, from the next request on, and end its sessions for good; nobody shuts himself out.

    Raises NotFoundError, ForbiddenError.
    """
    if name == actor:
        raise ForbiddenError(f"'{actor}' cannot disable his own account; ask another admin")
    _change(store, clock, name, "account.disable", actor, disabled=True)


def enable_account(store: Store, clock: Clock, name: str, *, actor: str) -> None:
    """Let somebody in again. Raises NotFoundError."""
    _change(store, clock, name, "account.enable", actor, disabled=False, failed_logins=0, locked_until=None)


def change_roles(
    store: Store,
    clock: Clock,
    name: str,
    roles: Iterable[str],
    team: str | None,
    *,
    actor: str,
    reach: Reach = EVERYTHING,
) -> None:
    """Give an account other roles, a team or none, and another reach, from the next request on; nobody changes his own.

    Raises BadInputError for an unknown role, ForbiddenError, NotFoundError, ConflictError for whom a provider gives them.
    """
    chosen = sorted(set(roles))
    _refuse_roles(chosen)
    if name == actor:
        raise ForbiddenError(f"'{actor}' cannot change his own roles; ask another admin")
    values = {"roles": chosen, "team": team, "reach": reach.told()}
    with store.write() as conn:
        row = _row(conn, name) if _plausible(name) else None
        if row is None:
            raise NotFoundError(f"there is no account '{name}'")
        if row["issuer"]:
            raise ConflictError(
                f"the roles of '{name}' come from {row['issuer']} at each sign-in; change its groups there"
            )
        conn.execute(update(ACCOUNT).where(ACCOUNT.c.name == name).values(**values))
        signals.note(conn, signals.ACCESS)
        before, after = {key: row[key] for key in values}, values
        audit.record(
            conn, clock, actor=actor, action="account.roles", subject=f"account/{name}", before=before, after=after
        )


def accounts(conn: Connection) -> list[dict[str, Any]]:
    """Return every account by name, without its password's hash."""
    columns = [column for column in ACCOUNT.c if column.name != "password_hash"]
    return [dict(row) for row in conn.execute(select(*columns).order_by(ACCOUNT.c.name)).mappings()]


def _change(store: Store, clock: Clock, name: str, action: str, actor: str, **values: Any) -> None:
    """Change how somebody is let in; whoever is in by the account has to be let in anew."""
    session = t.login_session.c
    with store.write() as conn:
        if conn.execute(update(ACCOUNT).where(ACCOUNT.c.name == name).values(**values)).rowcount != 1:
            raise NotFoundError(f"there is no account '{name}'")
        mine = (session.account == name) & session.revoked_at.is_(None)
        conn.execute(update(t.login_session).where(mine).values(revoked_at=clock.now()))
        signals.note(conn, signals.ACCESS)
        audit.record(conn, clock, actor=actor, action=action, subject=f"account/{name}")


def ensure_admin(store: Store, clock: Clock, password: str | None) -> str | None:
    """Make the account `admin` when there is none; return its password only when it was generated just now.

    A password that is given wins over the one that the account has.
    """
    with store.read() as conn:
        row = _row(conn, "admin")
    if row is None:
        chosen = password or secrets.token_urlsafe(15)
        create_account(store, clock, "admin", chosen, ["admin"], actor=SETUP, display_name="Administrator",
                       team="integration-platform")  # fmt: skip
        return None if password else chosen
    if password and not _verify(row["password_hash"], password):
        set_password(store, clock, "admin", password, actor=SETUP)
    return None


def seed_people(store: Store, clock: Clock) -> dict[str, str]:
    """Make the sandbox's people where they are missing; return name -> password of those made just now."""
    made = {}
    for name, display_name, roles, team in PEOPLE:
        with store.read() as conn:
            if _row(conn, name) is not None:
                continue
        made[name] = secrets.token_urlsafe(12)
        create_account(store, clock, name, made[name], roles, actor=SETUP, display_name=display_name, team=team)
    return made
