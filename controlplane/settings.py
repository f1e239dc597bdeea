"""Settings from the environment, checked before anything starts; each error names the variable and the remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from controlplane.errors import SettingsError

REMEDIES = {
    "home": "give a folder that can be created and written to",
    "host": "give a host name or an address, for instance 127.0.0.1",
    "port": "give a whole number from 1 to 65535",
    "database_url": "give a SQLAlchemy address such as sqlite:///plane.sqlite or postgresql+psycopg://user@host/name",
    "database_owner_url": "give postgresql+psycopg://owner@host/name, of another user than TRUEUP_DATABASE_URL, or leave it out",
    "engine": "give 'embedded' or 'celery'",
    "accept_limit": "give a whole number; 0 takes as many as the disk holds",
    "lease": "give seconds from 1 to 600",
    "web_threads": "give a whole number from 4 to 512",
    "traces": "give 1 or 0",
    "admin_password": "give at least 10 characters, or leave it out and one is generated",
    "broker_url": "give the address of RabbitMQ or Redis, such as amqp://user@127.0.0.1:5672// or redis://127.0.0.1:6379/0",
    "queue_prefix": "give 1 to 64 letters, digits, dots, dashes or underscores, for instance trueup",
    "shards": "give a whole number from 1 to 64",
    "public_url": "give an address without a path, for instance https://trueup.example.com",
    "step_up_age": "give whole seconds from 0 to 86400; 0 asks nobody again",
    "approver_wait": "give hours from 0 to 720; 0 waits for nobody",
    "rate_asking": "give for instance 3000 per minute, or two as in 3000 per minute; 50000 per hour; empty: no limit",
    "rate_sign_in": "give for instance 30 per minute; empty: no limit",
    "rate_refused": "give for instance 600 per minute; empty: no limit",
    "rate_store": "give the address of a Redis, such as redis://127.0.0.1:6379/1",
    "proxies": "give a whole number from 0 to 10",
    "oidc_issuer": "give the provider's https address, as its discovery document writes it; http on loopback only",
    "oidc_client_id": "give the name under which the provider knows this plane",
    "oidc_client_secret": "give env:NAME or file:NAME, never the secret itself",
    "oidc_name": "give what people call the provider, at most 60 characters",
    "oidc_scopes": "give names parted by blanks, `openid` among them",
    "oidc_groups_claim": "give the name of the claim that holds the groups, for instance groups or realm_access.roles",
    "oidc_roles": 'give JSON such as {"platform-team": {"roles": ["editor"], "team": "integration-platform"}}',
    "oidc_acr": "give names that the provider documents, parted by blanks",
    "audit_anchors": "give folders or addresses such as s3://bucket/trueup, parted by blanks",
    "vault_addr": "give the address of Vault without a path, such as https://vault.example:8200",
    "vault_token": "give where the token is, env:NAME or file:NAME, never the token itself",
    "vault_namespace": "give the namespace as Vault writes it, for instance retail/integrations",
    "seal_keys": "give env:NAME or file:NAME, the same for every process of the installation",
    "sandbox_port": "give a whole number from 1 to 65535",
    "sandbox_rate": "give a number above 0 and up to 1000; 1 is calm",
}

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
RATES = r"^([1-9][0-9]{0,8} per (second|minute|hour|day)(; [1-9][0-9]{0,8} per (second|minute|hour|day))*)?$"
BROKERS = ("amqp", "amqps", "pyamqp", "redis", "rediss")
"""Beginnings of the broker's address."""


class Settings(BaseSettings):
    """What the operator decides. Source: environment variables with the prefix TRUEUP_."""

    model_config = SettingsConfigDict(env_prefix="TRUEUP_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".trueup"), description="Folder that holds everything the plane keeps")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address the plane listens on")
    port: int = Field(default=8700, ge=1, le=65535, description="Port the plane listens on")
    database_url: str = Field(default="", description="SQLAlchemy address; default: SQLite in the home folder")
    database_owner_url: str = Field(
        default="", description="The same database as who owns its tables; default: TRUEUP_DATABASE_URL does"
    )
    engine: Literal["embedded", "celery"] = Field(default="embedded", description="How work is run")
    broker_url: str = Field(default="amqp://guest:guest@127.0.0.1:5672//", description="Celery's broker")
    queue_prefix: str = Field(
        default="trueup", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="What the names of our queues begin with"
    )
    shards: int = Field(default=2, ge=1, le=64, description="Tasks that may wait at once for one target")
    accept_limit: int = Field(
        default=0, ge=0, description="Most messages that may wait to be processed; 0: as many as the disk holds"
    )
    lease: float = Field(
        default=30.0, ge=1, le=600,
        description="Seconds after which what a worker holds, and does not renew, is taken from it",
    )  # fmt: skip
    web_threads: int = Field(default=64, ge=4, le=512, description="Requests that the web server answers at once")
    traces: bool = Field(default=False, description="Send traces to the collector that OTEL_* variables name")
    admin_password: str = Field(default="", description="Password of `admin`; default: generated, printed once")
    public_url: str = Field(
        default="", description="Address at which people reach the plane; default: http://TRUEUP_HOST:TRUEUP_PORT"
    )
    step_up_age: int = Field(
        default=900, ge=0, le=86400,
        description="Seconds that a sign-in may be old when its owner votes on a change, applies or schedules it; 0: any",
    )  # fmt: skip
    approver_wait: float = Field(
        default=24.0, ge=0, le=720,
        description="Hours for which nobody votes by an account that somebody else made, reset or gave the right to approve",
    )  # fmt: skip
    rate_asking: str = Field(
        default="3000 per minute", pattern=RATES, description="Requests to the API by one token, or one account; empty: any number"
    )  # fmt: skip
    rate_sign_in: str = Field(
        default="30 per minute", pattern=RATES, description="Tries to sign in from one address; empty: any number"
    )
    rate_refused: str = Field(
        default="600 per minute", pattern=RATES,
        description="Requests without a valid session or token from one address; empty: any number",
    )  # fmt: skip
    rate_store: str = Field(
        default="", pattern=r"^(rediss?://\S+)?$",
        description="Redis in which several processes count together; default: each counts in its own memory",
    )  # fmt: skip
    proxies: int = Field(
        default=0, ge=0, le=10, description="Proxies in front of the plane whose X-Forwarded-For tells the caller's address"
    )  # fmt: skip
    oidc_issuer: str = Field(
        default="", max_length=190, description="OpenID provider that people sign in by; default: local accounts only"
    )
    oidc_client_id: str = Field(default="", description="Name under which the provider knows this plane")
    oidc_client_secret: str = Field(
        default="", pattern=r"^$|^(env|file):[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Where its secret is: env:NAME or file:NAME",
    )  # fmt: skip
    oidc_name: str = Field(
        default="single sign-on", min_length=1, max_length=60, description="What the sign-in page calls the provider"
    )
    oidc_scopes: str = Field(default="openid profile", description="What the provider is asked for, parted by blanks")
    oidc_groups_claim: str = Field(
        default="groups", min_length=1, description="Claim that holds a person's groups; a dot leads into an object"
    )
    oidc_roles: str = Field(
        default="", description="JSON: group to roles, team and reach. A person with none of the groups is not let in"
    )
    oidc_acr: str = Field(
        default="",
        description="Values of `acr`, parted by blanks, one of which a vote needs from people of the provider",
    )
    audit_anchors: str = Field(
        default="", description="Places outside that checkpoints of the action log are written to, parted by blanks; "
        "default: the folder `anchors` in the home folder, which protects from nobody who owns the machine",
    )  # fmt: skip
    vault_addr: str = Field(
        default="", pattern=r"^(https?://[^\s/@]+/?)?$",
        description="Address of HashiCorp Vault, for secrets that are given as vault:PATH#FIELD",
    )  # fmt: skip
    vault_token: str = Field(
        default="", pattern=r"^((env|file):[A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
        description="Where Vault's token is: env:NAME or file:NAME",
    )  # fmt: skip
    vault_namespace: str = Field(
        default="", pattern=r"^[^\s]*$", description="Namespace in Vault, where there are some"
    )
    seal_keys: str = Field(
        default="", pattern=r"^((env|file):[A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
        description="Where the keys of sealed records are, env:NAME or file:NAME; default: seal-keys.json in the home folder",
    )  # fmt: skip
    sandbox_port: int = Field(default=0, ge=0, le=65535, description="Port of the sandbox; default: TRUEUP_PORT + 1")
    sandbox_rate: float = Field(default=1.0, gt=0, le=1000, description="How busy the sandbox retailer is; 1 is calm")

    @field_validator("admin_password")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value) < 10:
            raise ValueError(f"has {len(value)} characters")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value:
            return value
        try:
            backend = make_url(value).get_backend_name()
        except ArgumentError as error:
            raise ValueError("is not a database address") from error
        if backend not in {"sqlite", "postgresql"}:
            raise ValueError(f"names the database '{backend}', and only sqlite and postgresql are supported")
        if backend == "sqlite" and make_url(value).database in (None, "", ":memory:"):
            raise ValueError("keeps nothing: a SQLite address names a file")
        return value

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        scheme = value.partition("://")[0]
        if scheme not in BROKERS:
            raise ValueError(f"names no broker that there are workers for; known: {', '.join(BROKERS)}")
        return value

    @field_validator("oidc_issuer", "public_url")
    @classmethod
    def _safe_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if not value or (parts.hostname and parts.scheme == "https") or parts.hostname in LOOPBACK:
            return value
        raise ValueError("is no https address, and what is read or written on the way to it would decide who signs in")

    @field_validator("oidc_scopes")
    @classmethod
    def _asks_who_it_is(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("asks for no ID token")
        return value

    @field_validator("home", mode="before")
    @classmethod
    def _named_folder(cls, value: object) -> object:
        if not str(value).strip():
            raise ValueError("is empty")
        return value

    @model_validator(mode="after")
    def _two_ports(self) -> Self:
        port = self.sandbox_port or self.port + 1
        if port == self.port or port > 65535:
            raise ValueError(
                f"TRUEUP_SANDBOX_PORT={port}: the sandbox needs a port of its own, from 1 to 65535 and other than "
                f"TRUEUP_PORT={self.port}; set it to a free one"
            )
        return self

    @model_validator(mode="after")
    def _celery_needs_postgresql(self) -> Self:
        if self.engine == "celery" and self.is_sqlite:
            raise ValueError("TRUEUP_ENGINE=celery needs PostgreSQL: set TRUEUP_DATABASE_URL=postgresql+psycopg://…")
        return self

    @model_validator(mode="after")
    def _whole_provider(self) -> Self:
        needed = ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_roles")
        missing = [name for name in needed if not getattr(self, name)]
        if 0 < len(missing) < len(needed):
            name, given = missing[0], next(name for name in needed if name not in missing)
            raise ValueError(
                f"TRUEUP_{name.upper()} is not set, and TRUEUP_{given.upper()} is: "
                f"signing in by OpenID Connect needs both; {REMEDIES[name]}"
            )
        return self

    @model_validator(mode="after")
    def _owner_is_another(self) -> Self:
        if not self.database_owner_url:
            return self
        try:
            owner = make_url(self.database_owner_url)
        except ArgumentError:
            raise ValueError(
                f"TRUEUP_DATABASE_OWNER_URL is not a database address; {REMEDIES['database_owner_url']}"
            ) from None
        if self.is_sqlite or owner.get_backend_name() != "postgresql":
            raise ValueError(
                "TRUEUP_DATABASE_OWNER_URL: two roles are for PostgreSQL only, and both addresses name one; "
                f"{REMEDIES['database_owner_url']}"
            )
        plane = make_url(self.database_url).username
        if not plane or not owner.username or plane == owner.username:
            raise ValueError(
                "TRUEUP_DATABASE_OWNER_URL and TRUEUP_DATABASE_URL do not name two different users; "
                f"{REMEDIES['database_owner_url']}"
            )
        return self

    @property
    def store_url(self) -> str:
        """The address of the database, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'plane.sqlite'}"

    @property
    def anchor_places(self) -> tuple[str, ...]:
        """Where checkpoints of the action log are written to."""
        return tuple(self.audit_anchors.split()) or (str(self.home.resolve() / "anchors"),)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is the embedded default."""
        return self.store_url.startswith("sqlite")

    @property
    def url(self) -> str:
        """Where people and webhooks reach the plane."""
        return f"http://{self.host}:{self.port}"

    @property
    def home_page(self) -> str:
        """The address at which people reach the plane, without a slash at its end."""
        return (self.public_url or self.url).rstrip("/")

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox retailer listens."""
        return f"http://127.0.0.1:{self.sandbox_port or self.port + 1}"

    @property
    def secrets(self) -> Path:
        """Folder that `file:NAME` secret references resolve in."""
        return self.home / "sandbox" / "secrets"


def resolve_secret(what: str, reference: str, settings: Settings, forms: str = "env:NAME or file:NAME") -> str:
    """Return the value behind a reference. Raises SettingsError naming the reference, never a value."""
    source, _, name = reference.partition(":")
    if source == "env" and name:
        value = os.environ.get(name, "")
    elif source == "file" and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        value = _read(what, reference, settings)
    else:
        # it is not shown: it may well be the secret itself
        raise SettingsError(
            f"{what} is given by no reference that leads anywhere; write {forms}, a plain name without folders"
        )
    if not value:
        raise SettingsError(f"{what} ({reference}) is empty or not set; set it where the plane runs")
    return value


def _read(what: str, reference: str, settings: Settings) -> str:
    path = settings.secrets / reference.partition(":")[2]
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{what} ({reference}) cannot be read from {path}: {error.strerror}") from error


def load_settings(**overrides: object) -> Settings:
    """Read and check the settings; overrides win over the environment. Raises SettingsError naming the variable."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_explain(item["loc"], item["msg"], item["input"]) for item in error.errors())
        ) from None


def _explain(location: tuple[int | str, ...], message: str, given: object) -> str:
    if not location:
        return message.removeprefix("Value error, ")
    name = str(location[0])
    hidden = ("password", "secret", "url", "token", "addr", "keys", "store")
    shown = "(hidden)" if any(word in name for word in hidden) else repr(given)
    return f"TRUEUP_{name.upper()}={shown}: {message.removeprefix('Value error, ')}; {REMEDIES.get(name, 'see docs')}"
