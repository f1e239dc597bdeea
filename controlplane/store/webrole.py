"""The role of PostgreSQL that reads for people who are confined: made where the plane may, and otherwise said what to do."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from controlplane.store.sight import CLOSED, CONDITIONS, ROLE, VEILED

log = structlog.get_logger(__name__)
_OURS = ", ".join(f"'{name}'" for name in sorted({*CONDITIONS, *CLOSED, "in_reach"}))
"""What the role may read, each by a policy of its own; whatever else somebody puts into the schema stays closed to it."""
_TABLES = f"""
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'v') AND c.relname IN ({_OURS}) ORDER BY 1"""  # noqa: S608
_MADE = f"SELECT count(*) FROM pg_roles WHERE rolname = '{ROLE}'"  # noqa: S608
_MEMBER = f"SELECT pg_has_role(%s, '{ROLE}', 'MEMBER')"
_READS = f"""
SELECT has_schema_privilege('{ROLE}', current_schema(), 'USAGE')
AND bool_and(has_any_column_privilege('{ROLE}', c.oid, 'SELECT'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'v') AND c.relname IN ({_OURS})"""  # noqa: S608
_UNBOUND = f"""
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema()
AND c.relkind = 'r' AND NOT c.relrowsecurity AND c.relname IN ({_OURS}) ORDER BY 1"""  # noqa: S608


def lacking(connection: Connection, role: str = "") -> tuple[str, str]:
    """Return what keeps confined people out, and the remedy; both empty where nothing does. PostgreSQL only.

    `role`: the plane's; the connection's unless named.
    """
    role = role or _me(connection)
    quoted = _quoted(connection, role)
    if not connection.exec_driver_sql(_MADE).scalar_one():
        return (
            f"there is no role '{ROLE}'",
            f"as a superuser: CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO {quoted}; then start the plane",
        )
    if not connection.exec_driver_sql(_MEMBER, (role,)).scalar_one():
        return f"the plane's role may not become '{ROLE}'", f"as a superuser: GRANT {ROLE} TO {quoted}"
    if not connection.exec_driver_sql(_READS).scalar_one():
        return (
            f"the role '{ROLE}' may not read every table",
            "start the plane as the owner of the tables: it grants that",
        )
    unbound = connection.exec_driver_sql(_UNBOUND).scalars().all()
    if unbound:
        return (
            f"row-level security is off on {', '.join(unbound)}",
            f"ALTER TABLE {unbound[0]} ENABLE ROW LEVEL SECURITY",
        )
    return "", ""


def _me(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT current_user").scalar_one())


def _quoted(connection: Connection, role: str) -> str:
    return str(connection.exec_driver_sql("SELECT quote_ident(%s)", (role,)).scalar_one())


def prepare(engine: Engine, role: str = "") -> None:
    """Make the role, give it to the plane's (ours, unless named) and let it read, as far as that is missing and we may.

    A failure is logged, and keeps nobody from starting.
    """
    with engine.connect() as connection:
        role = role or _me(connection)
        if not lacking(connection, role)[0]:
            return
        for statement in _statements(connection, role):
            try:
                with connection.begin_nested():
                    connection.exec_driver_sql(statement)
            except DBAPIError as error:
                log.debug("role of confined people", statement=statement, reason=str(error.orig))
        connection.commit()
        missing, remedy = lacking(connection, role)
        if missing:
            log.warning(
                "people who are confined to a part of the retailer are shown nothing", reason=missing, remedy=remedy
            )


def _statements(connection: Connection, role: str) -> list[str]:
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    tables = connection.exec_driver_sql(_TABLES).scalars().all()
    return [
        f"CREATE ROLE {ROLE} NOLOGIN",
        f"GRANT {ROLE} TO {_quoted(connection, role)}",
        f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}",
        *(f"GRANT SELECT{_columns(connection, table)} ON {table} TO {ROLE}" for table in tables),
        f"GRANT EXECUTE ON FUNCTION trueup_cause(text), trueup_owed(text) TO {ROLE}",
    ]


def _columns(connection: Connection, table: str) -> str:
    """Return the columns that may be read, where it is not all of them."""
    if table not in VEILED:
        return ""
    told = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = %s"
    )
    names = connection.exec_driver_sql(told, (table,)).scalars().all()
    return f" ({', '.join(sorted(set(names) - set(VEILED[table])))})"
