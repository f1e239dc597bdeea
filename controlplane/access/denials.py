"""What was refused, in the action log: bounded, so that nobody fills the log by knocking.

Of one actor and kind of refusal one action a minute is written, with how many were left out since the one before. What was typed for
a name may be a password: it is kept as a keyed hash, whose key dies with the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from controlplane import audit
from controlplane.clock import Clock
from controlplane.store import Store

PAUSE = timedelta(minutes=1)
MANY = 1000
"""Actors that are told apart at a time; more are written as others."""
OTHERS = "others"
_KEY = secrets.token_bytes(32)


@dataclass(slots=True)
class _Knock:
    at: datetime
    left_out: int = 0


_lock = threading.Lock()
_known: WeakKeyDictionary[Store, dict[tuple[str, str], _Knock]] = WeakKeyDictionary()


def refused(store: Store, clock: Clock, *, actor: str, action: str, subject: str, reason: str = "") -> None:
    """Write that something was refused, unless the like of it was written within the last minute; then it is counted."""
    left_out = _due(store, clock.now(), actor, action)
    if left_out is None:
        return
    with store.write() as conn:
        told = {"left_out": left_out}
        audit.record(conn, clock, actor=actor, action=action, subject=subject, reason=reason, after=told)


def unknown_name(store: Store, clock: Clock, name: str) -> None:
    """Write that somebody tried a name that nobody is let in by."""
    hidden = hmac.digest(_KEY, name.encode(errors="replace"), hashlib.sha256).hex()[:16]
    refused(store, clock, actor="nobody", action="account.sign_in_unknown", subject=f"account/hash:{hidden}")


def _due(store: Store, now: datetime, actor: str, action: str) -> int | None:
    """Return how many were left out since the last that was written; None where this one is left out too."""
    with _lock:
        known = _known.setdefault(store, {})
        if len(known) >= MANY:
            for key in [key for key, knock in known.items() if now - knock.at >= PAUSE and not knock.left_out]:
                del known[key]
        key = (actor, action) if (actor, action) in known or len(known) < MANY else (OTHERS, action)
        last = known.get(key)
        if last is not None and timedelta(0) <= now - last.at < PAUSE:
            last.left_out += 1
            return None
        known[key] = _Knock(now)
        return last.left_out if last else 0
