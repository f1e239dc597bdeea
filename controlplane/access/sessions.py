"""Sessions of people who signed in: a random token that only its holder knows, kept as a hash, ended on the server's side."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import delete, insert, or_, select, update

from controlplane import audit
from controlplane.access.accounts import find_actor
from controlplane.access.rights import Actor, Proof
from controlplane.clock import Clock
from controlplane.store import Store
from controlplane.store import tables as t

SESSION = t.login_session
IDLE = timedelta(hours=8)
ABSOLUTE = timedelta(hours=24)
TOUCH = timedelta(minutes=1)
"""How exactly the last use is kept: a write for every page would be a waste."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session in use. `token` is what the cookie holds; `csrf_token` goes with every write."""

    token: str
    csrf_token: str
    actor: Actor


def hashed(token: str) -> str:
    """Return what is kept of a token; it has 256 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def open_session(store: Store, clock: Clock, actor: Actor, proof: Proof | None = None) -> Session:
    """Begin a session for somebody who proved who it is, by a password just now unless `proof` says otherwise.

    Sweeps out what has expired.
    """
    token, csrf_token, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), clock.now()
    proof = proof or Proof(now, amr=("pwd",))
    row = {
        "token_hash": hashed(token), "account": actor.name, "csrf_token": csrf_token, "created_at": now,
        "last_seen_at": now, "auth_time": proof.auth_time, "acr": proof.acr, "amr": list(proof.amr),
    }  # fmt: skip
    expired = or_(SESSION.c.created_at < now - ABSOLUTE, SESSION.c.last_seen_at < now - IDLE)
    with store.write() as conn:
        conn.execute(delete(SESSION).where(expired))
        conn.execute(insert(SESSION).values(**row))
    return Session(token, csrf_token, replace(actor, proof=proof))


def resume_session(store: Store, clock: Clock, token: str) -> Session | None:
    """Return the session of a cookie with its account's roles as they are now; None when it is over or never was."""
    now = clock.now()
    with store.read() as conn:
        row = conn.execute(select(SESSION).where(SESSION.c.token_hash == hashed(token))).one_or_none()
        if row is None or row.revoked_at is not None:
            return None
        if now - row.created_at >= ABSOLUTE or now - row.last_seen_at >= IDLE:
            return None
        actor = find_actor(conn, row.account)
    if actor is None:
        return None
    if now - row.last_seen_at >= TOUCH:
        with store.write() as conn:
            conn.execute(update(SESSION).where(SESSION.c.token_hash == row.token_hash).values(last_seen_at=now))
    proof = Proof(row.auth_time, row.acr, tuple(row.amr or ()))
    return Session(token, row.csrf_token, replace(actor, proof=proof))


def revoke_session(store: Store, clock: Clock, token: str) -> None:
    """End a session (signing out); one that is over already stays so."""
    mine = (SESSION.c.token_hash == hashed(token)) & SESSION.c.revoked_at.is_(None)
    with store.write() as conn:
        ended = update(SESSION).where(mine).values(revoked_at=clock.now()).returning(SESSION.c.account)
        account = conn.execute(ended).scalar_one_or_none()
        if account is not None:
            audit.record(conn, clock, actor=account, action="session.end", subject=f"account/{account}")
