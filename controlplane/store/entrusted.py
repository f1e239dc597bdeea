"""Two roles on PostgreSQL: the owner, who makes the tables and changes them, and the plane's, who may not change what is logged.

The plane's role has what it needs of each table, as one that owns nothing; of the action log it may read, and append to it.
Where one role is both, everything works, but for that: `powers` says by what it could give itself more.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from controlplane.errors import SettingsError
from controlplane.settings import Settings
from controlplane.store.engine import open_store
from controlplane.store.locks import SCHEMA
from controlplane.store.migrate import migrate
from controlplane.store.tables import metadata

RIGHTS = {
    "action": "SELECT, INSERT",
    "audit_head": "SELECT, UPDATE",
    "audit_checkpoint": "SELECT, INSERT, UPDATE",
    "alembic_version": "SELECT",
}
"""What the plane's role has of a table, where that is not reading and writing of all kinds."""
ALL = "SELECT, INSERT, UPDATE, DELETE"
POLICY = "the_plane"
"""Row-level security binds whoever owns no table; by this the plane's role reads and writes every row."""
_ROLE = "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = %(role)s"
_OWNERS = """
SELECT DISTINCT told, owner FROM (
  SELECT 'the table ' || c.relname AS told, c.relowner AS owner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = current_schema() AND c.relname IN ('action', 'audit_head', 'audit_checkpoint')
  UNION ALL SELECT 'the function ' || proname, proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = current_schema() AND proname = 'action_is_append_only'
  UNION ALL SELECT 'the schema ' || nspname, nspowner FROM pg_namespace WHERE nspname = current_schema()
  UNION ALL SELECT 'the database', datdba FROM pg_database WHERE datname = current_database()
) AS owned WHERE pg_has_role(%(role)s, owner, 'MEMBER') OR pg_has_role(%(role)s, owner, 'MEMBER WITH ADMIN OPTION') ORDER BY told"""
_MORE = """
SELECT told FROM (
  SELECT privilege || ' on the table action' AS told,
    CASE WHEN privilege = 'UPDATE' THEN has_any_column_privilege(%(role)s, c.oid, privilege)
    ELSE has_table_privilege(%(role)s, c.oid, privilege) END AS has
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
  WHERE n.nspname = current_schema() AND c.relname = 'action'
  UNION ALL SELECT 'CREATE on the schema', has_schema_privilege(%(role)s, current_schema(), 'CREATE')
  UNION ALL SELECT 'CREATE on the database', has_database_privilege(%(role)s, current_database(), 'CREATE')
  UNION ALL SELECT 'membership in ' || rolname, pg_has_role(%(role)s, oid, 'MEMBER') FROM pg_roles
  WHERE rolname IN ('pg_execute_server_program', 'pg_write_server_files')
) AS found WHERE has ORDER BY told"""
_SCHEMA_IS_OURS = (
    "SELECT pg_has_role(current_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = current_schema()"
)
_NO_RANK = 160000
"""Before this version CREATEROLE is enough to become a member of any role."""


def powers(connection: Connection, role: str = "") -> list[str]:
    """Return by what a role (the connection's, unless named) could change what is logged; nothing where it cannot. PostgreSQL only."""
    role = role or _me(connection)
    superuser, maker = connection.exec_driver_sql(_ROLE, {"role": role}).one()
    if superuser:
        return ["is a superuser"]
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    owned = [told for told, _ in connection.exec_driver_sql(_OWNERS, {"role": role})]
    found = [f"owns, or can act for who owns, {', '.join(owned)}"] if owned else []
    found += ["may take any role on (CREATEROLE)"] if maker and version < _NO_RANK else []
    more = connection.exec_driver_sql(_MORE, {"role": role}).scalars().all()
    return found + [f"has {told}" for told in more if not owned or told.startswith("membership")]


def _me(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT current_user").scalar_one())


def migrate_as_owner(settings: Settings) -> list[str]:
    """Bring the tables up to date as the role that owns them, and let the plane's role use them; return what is wrong still.

    Raises SettingsError naming the variable.
    """
    role = make_url(settings.database_url).username or ""
    store = open_store(settings.database_owner_url)
    try:
        _refuse_others(store.engine, role)
        migrate(store, plane=role)
        entrust(store.engine, role)
        with store.read() as connection:
            return powers(connection, role)
    except SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise SettingsError(
            f"TRUEUP_DATABASE_OWNER_URL: the tables cannot be brought up to date ({told[0] if told else type(error).__name__}); "
            "see that the server runs, and that the role may sign in and make tables in the schema"
        ) from error
    finally:
        store.close()


def _refuse_others(engine: Engine, role: str) -> None:
    """Raises SettingsError where the plane's role is not there, or the tables are another's."""
    with engine.connect() as connection:
        mine = _me(connection)
        if connection.exec_driver_sql(_ROLE, {"role": role}).one_or_none() is None:
            raise SettingsError(
                f"TRUEUP_DATABASE_URL: PostgreSQL has no role '{role}'; as a superuser: "
                f"CREATE ROLE {_quoted(connection, role)} LOGIN PASSWORD '…'"
            )
        owner = connection.exec_driver_sql(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('action')"
            " AND NOT pg_has_role(current_user, relowner, 'MEMBER')"
        ).scalar()
        if owner is not None:
            raise SettingsError(
                f"TRUEUP_DATABASE_OWNER_URL: the tables belong to '{owner}', and not to '{mine}'; stop the plane, and as a superuser, in "
                f"this database: REASSIGN OWNED BY {_quoted(connection, owner)} TO {_quoted(connection, mine)}"
            )


def entrust(engine: Engine, role: str) -> None:
    """Let a role use every table as the plane does, and no more; repeatable. Done by the owner of the tables."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (SCHEMA,))
        for statement in _statements(connection, _quoted(connection, role), role):
            connection.exec_driver_sql(statement)


def _statements(connection: Connection, quoted: str, role: str) -> list[str]:
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    found = [f"GRANT USAGE ON SCHEMA {schema} TO {quoted}"]
    if connection.exec_driver_sql(_SCHEMA_IS_OURS).scalar():
        found.append(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {quoted}")
    for table in sorted({*metadata.tables, *RIGHTS}):
        if table in RIGHTS:
            found.append(f"REVOKE ALL ON {table} FROM {quoted}")
        found.append(f"GRANT {RIGHTS.get(table, ALL)} ON {table} TO {quoted}")
    bound = connection.exec_driver_sql(
        "SELECT tablename FROM pg_policies WHERE schemaname = current_schema() AND policyname = %s AND roles = ARRAY[%s]::name[]",
        (POLICY, role),
    ).scalars()
    for table in sorted(set(metadata.tables) - set(bound)):
        found.append(f"DROP POLICY IF EXISTS {POLICY} ON {table}")
        found.append(f"CREATE POLICY {POLICY} ON {table} TO {quoted} USING (true) WITH CHECK (true)")
    found.append(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {quoted}")
    return found


def _quoted(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql("SELECT quote_ident(%s)", (name,)).scalar_one())
