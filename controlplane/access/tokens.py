"""Service tokens: for the command line, for Prometheus, for other programs. Shown once, kept as a hash, found by their prefix."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from controlplane import audit
from controlplane.access.accounts import find_actor
from controlplane.access.rights import Actor
from controlplane.access.sessions import TOUCH, hashed
from controlplane.clock import Clock
from controlplane.errors import BadInputError, NotFoundError
from controlplane.store import Store, signals
from controlplane.store import tables as t
from rules.reach import EVERYTHING, Reach

TOKEN, ACCOUNT = t.service_token, t.account
SHAPE = re.compile(r"^tru_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$")
"""tru_PREFIX_SECRET: a scanner of leaked secrets knows it by its beginning."""
FRESH = 1.0
"""Seconds for which a token is not looked up again."""
_HOLDER: Select[Any] = (
    select(
        *TOKEN.c["token_hash", "revoked_at", "expires_at", "scopes", "last_used_at"],
        TOKEN.c.reach.label("token_reach"),
        *ACCOUNT.c["name", "roles", "team", "disabled", "reach"],
    )
    .join_from(TOKEN, ACCOUNT, ACCOUNT.c.name == TOKEN.c.account)
    .where(TOKEN.c.prefix == bindparam("prefix"))
)
"""Token and account at once: every request of a program asks this."""


def issue_token(
    store: Store, clock: Clock, account: str, purpose: str, *, actor: str, valid_for: timedelta | None = None,
    scopes: Iterable[str] | None = None, reach: Reach = EVERYTHING,
) -> str:  # fmt: skip
    """Make a token that acts as the account; return it, this once. `scopes`: the rights that it is confined to; None: all.

    `reach`: what it is about, within the reach of its account; everything: no less than that. Raises NotFoundError for an
    unknown account, BadInputError for a scope that is none of its rights, or a reach that goes beyond its own.
    """
    prefix, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), clock.now()
    row = {
        "prefix": prefix, "token_hash": hashed(secret), "account": account, "purpose": purpose, "created_at": now,
        "expires_at": now + valid_for if valid_for else None,
        "scopes": None if scopes is None else sorted({"view", *scopes}), "reach": reach.told(),
    }  # fmt: skip
    with store.write() as conn:
        holder = find_actor(conn, account)
        if holder is None:
            raise NotFoundError(f"there is no account '{account}' that is in use; make one first")
        _refuse_scopes(holder, scopes or ())
        _refuse_reach(holder, reach)
        conn.execute(insert(TOKEN).values(**row))
        after = {"account": account, "purpose": purpose, "scopes": row["scopes"], "reach": row["reach"]}
        after["expires_at"] = row["expires_at"]
        audit.record(conn, clock, actor=actor, action="token.issue", subject=f"token/{prefix}", after=after)
    return f"tru_{prefix}_{secret}"


def _refuse_scopes(holder: Actor, scopes: Iterable[str]) -> None:
    beyond = [scope for scope in scopes if scope not in holder.rights]
    if beyond:
        having = ", ".join(sorted(holder.rights))
        raise BadInputError(f"'{holder.name}' has no right '{beyond[0]}' that a token could have; it has: {having}")


def _refuse_reach(holder: Actor, reach: Reach) -> None:
    if not reach.everything and not reach.within(holder.reach):
        raise BadInputError(
            f"a token of '{holder.name}' cannot reach {reach}: the account reaches {holder.reach}; name less"
        )


def tokens(conn: Connection, account: str | None = None) -> list[dict[str, Any]]:
    """Return every token, the newest first, without what would let somebody use it."""
    columns = [column for column in TOKEN.c if column.name != "token_hash"]
    query = select(*columns).order_by(TOKEN.c.created_at.desc(), TOKEN.c.prefix)
    return [
        dict(row)
        for row in conn.execute(query if account is None else query.where(TOKEN.c.account == account)).mappings()
    ]


class _Holders:
    """What was read of tokens lately: a program asks many times a second. Forgotten when an account or a token changes."""

    def __init__(self, store: Store) -> None:
        self._rows: dict[str, tuple[float, Row[Any]]] = {}
        self._changes = 0
        store.signals.subscribe(signals.ACCESS, self._forget)

    def _forget(self) -> None:
        self._changes += 1
        self._rows.clear()

    def find(self, store: Store, clock: Clock, prefix: str) -> Row[Any] | None:
        """Return token and account, as they are or were a moment ago; None for a prefix that nobody has."""
        now, changes = clock.stopwatch(), self._changes
        known = self._rows.get(prefix)
        if known is not None and 0 <= now - known[0] < FRESH:
            return known[1]
        with store.look() as conn:
            row = conn.execute(_HOLDER, {"prefix": prefix}).one_or_none()
        if row is not None and changes == self._changes:
            self._rows[prefix] = (now, row)
        return row


_holders: WeakKeyDictionary[Store, _Holders] = WeakKeyDictionary()


def check_token(store: Store, clock: Clock, token: str) -> Actor | None:
    """Return whom a token acts as, with the roles of now; None when it is unknown, expired or revoked.

    What another process has changed is heeded within a second, what this one has at once.
    """
    match = SHAPE.match(token)
    if match is None:
        return None
    prefix, secret = match.groups()
    holders = _holders.get(store) or _holders.setdefault(store, _Holders(store))
    row = holders.find(store, clock, prefix)
    if row is None or not hmac.compare_digest(row.token_hash, hashed(secret)):
        return None
    if row.revoked_at is not None or row.disabled or (row.expires_at is not None and row.expires_at <= clock.now()):
        return None
    _used(store, clock, prefix, row.last_used_at)
    scopes = None if row.scopes is None else frozenset(row.scopes)
    reach = Reach.read(row.reach).meet(Reach.read(row.token_reach))
    return Actor(row.name, frozenset(row.roles), row.team, scopes=scopes, reach=reach)


def _used(store: Store, clock: Clock, prefix: str, before: datetime | None) -> None:
    """Keep when a token was used, to the minute. A store that cannot be written keeps nobody out."""
    now = clock.now()
    if before is not None and now - before < TOUCH:
        return
    with suppress(SQLAlchemyError), store.write() as conn:
        conn.execute(update(TOKEN).where(TOKEN.c.prefix == prefix).values(last_used_at=now))
        signals.note(conn, signals.ACCESS)


def revoke_token(store: Store, clock: Clock, prefix: str, *, actor: str) -> None:
    """End a token. Raises NotFoundError for one that is not there or ended already."""
    mine = (TOKEN.c.prefix == prefix) & TOKEN.c.revoked_at.is_(None)
    with store.write() as conn:
        if conn.execute(update(TOKEN).where(mine).values(revoked_at=clock.now())).rowcount != 1:
            raise NotFoundError(f"there is no token '{prefix}' in use")
        signals.note(conn, signals.ACCESS)
        audit.record(conn, clock, actor=actor, action="token.revoke", subject=f"token/{prefix}")


def ensure_cli_token(store: Store, clock: Clock, path: Path, account: str = "admin") -> None:
    """See to it that the file holds a token that works, readable by its owner only: the command line speaks to the plane with it.

    Whoever is on the machine has it, so it changes no policy: what is proposed or decided has a person's name and password. One that
    may do more, from an older version, is replaced and ended.
    """
    held = path.read_text(encoding="ascii").strip() if path.exists() else ""
    known = check_token(store, clock, held) if held else None
    if known is not None and not any(map(_personal, known.rights)):
        return
    with store.read() as conn:
        holder = find_actor(conn, account)
    scopes = None if holder is None else [right for right in holder.rights if not _personal(right)]
    token = issue_token(store, clock, account, "command line", actor="setup", scopes=scopes)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token + "\n")
    if known is not None and (match := SHAPE.match(held)):
        revoke_token(store, clock, match[1], actor="setup")


def _personal(right: str) -> bool:
    return right.startswith("policy.")
