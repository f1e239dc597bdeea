"""The database: whether it answers, has this version's tables, and keeps what it was told to keep."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from controlplane.doctor.answers import Answer, ok, warning, wrong
from controlplane.doctor.subject import Subject
from controlplane.store import open_store
from controlplane.store import tables as t
from controlplane.store.engine import SQLITE_PRAGMAS
from controlplane.store.entrusted import powers
from controlplane.store.readonly import is_wal
from controlplane.store.sight import ROLE
from controlplane.store.webrole import lacking

OLDEST_SQLITE = (3, 35, 0)
"""Has RETURNING, which claiming and de-duplicating lean on."""
OLDEST_POSTGRESQL = 13
LISTENING = 1
AHEAD, FAR_AHEAD = 2.0, 30.0
"""Seconds between two clocks from which it is a warning, and from which it is wrong: leases last a minute or two."""
DURABLE = frozenset({"on", "local", "remote_write", "remote_apply"})
"""Settings of synchronous_commit with which a commit is on this server's disk before it is answered."""


def database(subject: Subject) -> Iterator[Answer]:
    """See that the database answers, and how old it is."""
    if subject.settings.is_sqlite and not _sqlite_path(subject).exists():
        yield _absent(subject)
        return
    failure = subject.looked_at_schema
    if isinstance(failure, ImportError):
        yield wrong("database", f"the driver is not installed: {failure}", "pip install 'trueup[postgres]'")
    elif isinstance(failure, Exception):
        yield wrong("database", f"it does not answer: {reason_of(failure)}", _remedy(subject))
    elif subject.settings.is_sqlite:
        yield _sqlite_version()
    else:
        with subject.raw_store.read() as connection:
            yield _postgresql_version(_shown(connection, "server_version"))


def _sqlite_path(subject: Subject) -> Path:
    return Path(make_url(subject.settings.store_url).database or "")


def _absent(subject: Subject) -> Answer:
    detail = f"{_sqlite_path(subject)} is not there"
    if subject.plane_runs:
        remedy = "give TRUEUP_HOME and TRUEUP_DATABASE_URL here as the plane has them"
        return wrong("database", f"{detail}, and yet a plane runs at {subject.settings.url}: it uses another", remedy)
    return warning("database", detail, "start the plane once: `trueup up` makes it")


def reason_of(error: BaseException) -> str:
    """Return the first line of what a driver said."""
    told = str(getattr(error, "orig", None) or error).strip()
    return told.splitlines()[0] if told else type(error).__name__


def _remedy(subject: Subject) -> str:
    if subject.settings.is_sqlite:
        return "see that the file is a SQLite database and readable; restore it from a back-up if it is damaged"
    return "see that PostgreSQL runs, and that user, password, host and name in TRUEUP_DATABASE_URL are right"


def _sqlite_version() -> Answer:
    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return wrong("database", f"SQLite {found} lacks RETURNING", "use a Python with SQLite 3.35 or later")
    return ok("database", f"SQLite {found} answers")


def _postgresql_version(told: str) -> Answer:
    if int(re.split(r"\D", told)[0]) < OLDEST_POSTGRESQL:
        detail = f"PostgreSQL {told} answers, and is not maintained any more"
        return warning("database", detail, f"upgrade to {OLDEST_POSTGRESQL} or later")
    return ok("database", f"PostgreSQL {told} answers")


def schema(subject: Subject) -> Iterator[Answer]:
    """See that the tables are those of this version."""
    found = subject.schema
    if found.is_ours:
        yield ok("schema", f"revision {found.current}, the newest")
    elif found.current is None:
        yield warning("schema", "the database has no tables yet", "start the plane once: it makes them")
    elif found.behind is None:
        detail = f"revision {found.current} is not known to this version, whose newest is {found.head}"
        yield wrong("schema", detail, "install the version that this database was last used with, or a later one")
    else:
        detail = f"revision {found.current} is {found.behind} migrations behind {found.head}"
        remedy = "stop the workers, back up, start the plane of this version: it migrates; then start the workers"
        yield wrong("schema", detail, remedy)


def durability(subject: Subject) -> Iterator[Answer]:
    """See that what is committed is on the disk, and that readers see one state."""
    _ = subject.schema  # raises when the database does not answer
    if subject.settings.is_sqlite:
        yield _sqlite_durability(_sqlite_path(subject))
        return
    with subject.raw_store.read() as connection:
        yield from _postgresql_settings(connection)


def _sqlite_durability(path: Path) -> Answer:
    # the file's header tells: a connection to a file that nobody has open sees no mode
    if not is_wal(path):
        remedy = "start the plane: it sets WAL, unless something else has the file open, or the disk is a network's"
        return wrong("durability", "journal_mode is not WAL: readers and the writer block each other", remedy)
    if "synchronous=FULL" not in SQLITE_PRAGMAS:
        return wrong("durability", "commits are not synchronised to disk", "install an unchanged Trueup")
    return ok("durability", "journal_mode=WAL; each connection of the plane sets synchronous=FULL")


def _postgresql_settings(connection: Connection) -> Iterator[Answer]:
    found = list(_postgresql_flaws(connection))
    yield from found
    if not found:
        yield ok("durability", "commits are on disk before they are answered; READ COMMITTED; UTF8")


def _postgresql_flaws(connection: Connection) -> Iterator[Answer]:
    commit = _shown(connection, "synchronous_commit")
    if commit not in DURABLE:
        remedy = "ALTER DATABASE … SET synchronous_commit = on (look at ALTER ROLE and the address's options too)"
        yield wrong("durability", f"synchronous_commit is {commit}: a crash loses what was acknowledged", remedy)
    for name in ("fsync", "full_page_writes"):
        if _shown(connection, name) != "on":
            yield wrong("durability", f"{name} is off: a crash can destroy the database", f"set {name} = on", name)
    isolation = _shown(connection, "default_transaction_isolation")
    if isolation not in ("read committed", "read uncommitted"):
        detail = f"default_transaction_isolation is '{isolation}': workers that claim side by side would fail"
        yield wrong(
            "durability", detail, "ALTER DATABASE … SET default_transaction_isolation = 'read committed'", "isolation"
        )
    encoding = _shown(connection, "server_encoding")
    if encoding != "UTF8":
        remedy = "make a database with ENCODING 'UTF8' TEMPLATE template0 and restore into it"
        yield wrong(
            "durability", f"the database's encoding is {encoding}: it cannot hold every name", remedy, "encoding"
        )


def _shown(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar())


def connections(subject: Subject) -> Iterator[Answer]:
    """See that PostgreSQL takes as many connections as the plane and its workers may open."""
    if subject.settings.is_sqlite:
        return
    _ = subject.schema
    with subject.raw_store.read() as connection:
        most, kept = (int(_shown(connection, f"{name}_connections")) for name in ("max", "superuser_reserved"))
        used = int(
            connection.exec_driver_sql("SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL").scalar() or 0
        )
    processes, each = 1 + len(subject.workers), pool_size(subject.settings.store_url)
    told = (
        f"{used} in use, the plane and {processes - 1} workers may open {processes * each}, {most - kept} may be open"
    )
    if processes * each > most - kept or used > 0.9 * (most - kept):
        remedy = f"raise max_connections to {processes * each + kept + 10} or more, run fewer workers, or put a pooler between"
        yield warning("connections", told, remedy)
    else:
        yield ok("connections", told)


def confined(subject: Subject) -> Iterator[Answer]:
    """See that people who are confined to a part of the retailer can be shown that part: PostgreSQL takes a role for it."""
    if subject.settings.is_sqlite or not subject.schema.is_ours:
        return
    with subject.raw_store.read() as connection:
        missing, remedy = lacking(connection)
        columns = (t.account.c.reach, t.service_token.c.reach)
        some = any(connection.execute(select(one).where(one.is_not(None)).limit(1)).first() for one in columns)
    if not missing:
        yield ok("confined people", f"row-level security binds the role '{ROLE}'")
    elif some:
        yield wrong("confined people", f"{missing}: they are shown nothing", remedy)
    else:
        yield warning("confined people", f"{missing}; nobody is confined yet", remedy)


def action_log(subject: Subject) -> Iterator[Answer]:
    """See that the plane's role cannot change what is logged, where another role owns the tables: PostgreSQL."""
    if subject.settings.is_sqlite or not subject.schema.is_ours:
        return
    with subject.raw_store.read() as connection:
        found = powers(connection)
    if found:
        remedy = "have another role own the tables: `trueup db migrate` with TRUEUP_DATABASE_OWNER_URL, see docs/operations.md"
        told = f"the plane's role could change what is logged: it {'; it '.join(found)}. Only the checkpoints outside would show it"
        yield warning("action log", told, remedy)
    else:
        yield ok("action log", "the plane's role reads and appends, and owns nothing that would give it more")


def pool_size(url: str) -> int:
    """Return how many connections one process of ours may have open; nothing is connected to.

    Those of its pool, and the one that listens, which is taken out of the pool.
    """
    store = open_store(url)
    pool: Any = store.engine.pool
    return LISTENING + (pool.size() + max(0, pool._max_overflow) if isinstance(pool, QueuePool) else 1)


def clock(subject: Subject) -> Iterator[Answer]:
    """Hold this machine's clock against PostgreSQL's; half of the round trip is uncertain."""
    if subject.settings.is_sqlite:
        return
    _ = subject.schema
    with subject.raw_store.read() as connection:
        before = subject.clock.now()
        told = float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar() or 0)
        after = subject.clock.now()
    unsure = (after - before).total_seconds() / 2
    yield offset_answer((datetime.fromtimestamp(told, UTC) - before).total_seconds() - unsure, unsure)


def offset_answer(offset: float, unsure: float) -> Answer:
    """Judge the seconds by which the database's clock is ahead of ours, known to within `unsure`."""
    least = abs(offset) - unsure
    told = f"the database's clock is {abs(offset):.1f} s {'ahead' if offset > 0 else 'behind'} (± {unsure:.1f} s)"
    remedy = "let a time service (chrony, systemd-timesyncd) keep both clocks: leases and promises are told by them"
    if least > FAR_AHEAD:
        return wrong("clock offset", told, remedy)
    if least > AHEAD:
        return warning("clock offset", told, remedy)
    return ok("clock offset", f"the database's clock and ours agree (± {max(unsure, abs(offset)):.1f} s)")
