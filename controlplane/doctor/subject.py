"""What is looked at: the settings, and what the checks share, each looked up once and only when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import httpx
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from controlplane.clock import Clock
from controlplane.connectors.redaction import Redactor
from controlplane.connectors.vault import Vault
from controlplane.doctor.answers import NotLookedError
from controlplane.registry import Registry, Snapshot
from controlplane.settings import Settings
from controlplane.store import Store
from controlplane.store.readonly import open_read_only
from controlplane.store.schema import Standing, standing

if TYPE_CHECKING:
    from controlplane.doctor.broker import Broker


class Subject:
    """One installation under the doctor's eyes. `seconds` is how long any one conversation with the outside may take."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        environment: Mapping[str, str],
        offline: bool = False,
        seconds: float = 3.0,
    ) -> None:
        self.settings, self.clock, self.environment = settings, clock, environment
        self.offline, self.seconds = offline, seconds
        self.redactor = Redactor(_passwords(settings))

    def close(self) -> None:
        """Let go of the database."""
        if "raw_store" in self.__dict__:
            self.raw_store.close()

    @cached_property
    def raw_store(self) -> Store:
        """The database whatever its state; `store` is for what needs the tables. Raises ImportError without its driver."""
        return open_read_only(self.settings.store_url, self.seconds)

    @cached_property
    def looked_at_schema(self) -> Standing | SQLAlchemyError | ImportError:
        """How the schema stands, or why that cannot be told. Kept, so that a time-out is waited for once."""
        try:
            with self.raw_store.read() as connection:
                return standing(connection)
        except (SQLAlchemyError, ImportError) as error:
            return error

    @property
    def schema(self) -> Standing:
        """How the schema stands. Raises NotLookedError."""
        found = self.looked_at_schema
        if isinstance(found, Exception):
            raise NotLookedError("the database does not answer, or is not there yet") from found
        return found

    @property
    def store(self) -> Store:
        """The database, known to answer and to have this version's tables. Raises NotLookedError."""
        if not self.schema.is_ours:
            raise NotLookedError("the tables are not this version's")
        return self.raw_store

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one consistent state. Raises NotLookedError."""
        with self.store.read() as connection:
            yield connection

    @cached_property
    def snapshot(self) -> Snapshot:
        """The policies in force. Raises NotLookedError when there is no registry, whatever reading it raises otherwise."""
        found = Registry(self.store, self.clock).snapshot()
        if not found.version:
            raise NotLookedError("the registry is empty")
        return found

    @cached_property
    def broker(self) -> Broker | Exception:
        """What the broker told of itself, or why it did not. Only for TRUEUP_ENGINE=celery."""
        try:
            from controlplane.doctor.broker import ask_broker

            return ask_broker(self.settings.broker_url, self.seconds)
        except Exception as error:  # noqa: BLE001 - each transport has exceptions of its own
            return error

    @cached_property
    def workers(self) -> Mapping[str, frozenset[str]]:
        """The workers that answer, with the queues that they take from; none where there is no broker to ask."""
        if self.settings.engine == "embedded" or isinstance(self.broker, Exception):
            return {}
        from controlplane.doctor.broker import ask_workers

        return ask_workers(self.settings.broker_url, self.settings.queue_prefix, self.seconds)

    @cached_property
    def vault(self) -> Vault:
        """Where `vault:` references lead."""
        return Vault(self.settings.vault_addr, self.settings.vault_namespace, self.clock)

    @property
    def plane_url(self) -> str:
        """Where the plane is reached from this machine, wherever it listens."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.settings.host, self.settings.host)  # noqa: S104
        return f"http://{host}:{self.settings.port}"

    @cached_property
    def health(self) -> httpx.Response | httpx.HTTPError | None:
        """What `/healthz` answers, or why it does not; None when nobody listens."""
        try:
            return self.ask("/healthz")
        except httpx.HTTPError as error:
            return error

    @cached_property
    def plane_runs(self) -> bool:
        """Whether a plane answers at the address of the settings."""
        return isinstance(self.health, httpx.Response) and _is_plane(self.health)

    def ask(self, path: str) -> httpx.Response | None:
        """GET a path of the running plane; None when nobody listens. Raises httpx.HTTPError when what listens does not answer."""
        try:
            return httpx.get(self.plane_url + path, timeout=self.seconds, trust_env=False)
        except httpx.ConnectError:
            return None


def _is_plane(answer: httpx.Response) -> bool:
    try:
        told: Any = answer.json()
    except ValueError:
        return False
    return answer.is_success and isinstance(told, dict) and told.get("status") == "ok"


def _passwords(settings: Settings) -> list[str]:
    """Whatever of the settings must never be printed, as it is written and as it is meant."""
    written = [
        urlsplit(address).password or ""
        for address in (settings.store_url, settings.database_owner_url, settings.broker_url)
    ]
    return [settings.admin_password, *written, *map(unquote, written)]
