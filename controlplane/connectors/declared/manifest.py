"""The form of a declared connector: how to get in, what is read and written, and what is promised of a write.

Expressions of a request are put to: `since` (of a poll), `page` (cursor, offset or last key) and `size`; in a write to `payload` (the
data of the message), `ref`, `subject` and `key` (the delivery's idempotency key). Expressions of messages and levels are put to a record.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from controlplane.connectors.declared.access import Access, Csrf
from controlplane.connectors.declared.request import PathBelow, Request
from controlplane.connectors.declared.values import JmesPath, Part, Value, Zone
from rules.model.messages import TYPES
from rules.outcomes import Guarantee
from rules.policy.kinds import Duration, Entity

SQL_SCHEMES = (
    "sqlite", "postgresql", "postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql", "mssql+pyodbc", "oracle+oracledb",
)  # fmt: skip
"""Dialects that are let through; all but sqlite and postgresql take a driver that is not installed with Trueup."""
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_PARAMETER = re.compile(r"(?<![:\w\\]):([A-Za-z_]\w*)")
FILE_SCHEMES = ("file", "sftp", "s3")


def _type(text: str) -> str:
    if text not in TYPES:
        raise ValueError(f"there is no message type '{text}'; there are: {', '.join(TYPES)}")
    return text


MessageType = Annotated[str, AfterValidator(_type)]


class Paging(Part):
    """How a long answer comes in parts."""

    kind: Literal["none", "token", "relay", "link", "next_url", "offset", "numbered", "key"] = "none"
    token: JmesPath | None = Field(default=None, description="where the answer gives the next cursor, or address")
    connection: JmesPath | None = Field(default=None, description="the Relay connection with its pageInfo")
    size: int = Field(default=100, ge=1, le=100_000, description="rows asked for; `size` in expressions")
    first: int = Field(default=0, ge=0, description="the first offset, or number")
    total: JmesPath | None = Field(default=None, description="where the answer says how many rows there are")
    key: JmesPath | None = Field(default=None, description="the unique key of a record that they are sorted by")
    expires: bool = Field(default=False, description="cursors run out; the read then begins again")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {"token": "token", "next_url": "token", "relay": "connection", "key": "key"}.get(self.kind)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"paging by {self.kind} needs `{needed}`")
        return self


class Since(Part):
    """How it is told what changed: the time of change of each record, and how the last one seen is asked for."""

    field: JmesPath = Field(description="the record's time of change")
    overlap: Duration = Field(default=timedelta(minutes=5), description="how far behind the last one a poll begins")
    form: Literal["instant", "unix", "unix_ms", "date"] = "instant"
    zone: Zone | None = Field(default=None, description="of a time that names none")
    grows: bool = Field(
        default=False, description="records come in the order of that time, so a page may move the cursor"
    )


class Status(Part):
    """Which records are told of, by their status; another than those that are listed waits for a person."""

    path: JmesPath
    told: tuple[str, ...]
    ignored: tuple[str, ...] = ()


class Told(Part):
    """A canonical message that is made of a record, or of each element of a list in it."""

    type: MessageType
    each: JmesPath | None = None
    when: JmesPath | None = Field(default=None, description="only where this finds something that is true")
    status: Status | None = None
    fields: dict[str, Value]
    version: Value = Field(
        default=None, description="the source's own version of it; of a state it is needed to tell two apart"
    )
    occurred_at: Value = Field(
        default=None, description="default: the version, where it is an instant, else when it was read"
    )

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        model = TYPES[self.type].model_fields
        unknown = sorted(set(self.fields) - set(model))
        missing = sorted(name for name, one in model.items() if one.is_required() and name not in self.fields)
        if unknown or missing:
            what = f"has no field {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
            raise ValueError(f"`fields`: {self.type} {what}; it has: {', '.join(model)}")
        return self


class Levels(Part):
    """Stock as a comparison reads it, of a record or of each element of a list in it."""

    each: JmesPath | None = None
    when: JmesPath | None = Field(default=None, description="only where this finds something that is true")
    sku: Value
    location: Value
    on_hand: Value = None
    available: Value = None
    source_at: Value = Field(default=None, description="the source's own time of change")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not {"on_hand", "available"} & self.model_fields_set:
            raise ValueError("levels need `on_hand` or `available`")
        return self


class Read(Part):
    """One thing that is read, whatever the system speaks."""

    entity: Entity
    identity: JmesPath = Field(description="what a record is known by, for people and in its event key")
    since: Since | None = Field(default=None, description="without it every poll reads everything")
    messages: tuple[Told, ...] = ()
    levels: Levels | None = None

    @model_validator(mode="after")
    def _of_use(self) -> Self:
        if not self.messages and self.levels is None:
            raise ValueError("what is read makes `messages` or `levels`; say one of them, or both")
        return self


class RestRead(Read):
    """One thing that is read by requests."""

    request: Request = Request()
    records: JmesPath = Field(default="@", description="the list of records in an answer")
    paging: Paging = Paging()


class Rule(Part):
    """A sign inside an answer that was given as 2xx, and what it means."""

    when: JmesPath = Field(description="put to the answer's body; true, or something that is not empty")
    means: Literal["rejected", "throttled", "unavailable"] = "rejected"
    detail: JmesPath | None = None
    wait: JmesPath | None = Field(default=None, description="seconds to wait")


class Lookup(Part):
    """How it is found out whether a write took effect."""

    request: Request
    found: JmesPath = Field(
        default="@", description="true, or not empty, when it is there; put to the body, with `asked` for the write"
    )
    id: JmesPath | None = Field(default=None, description="the system's own id of it")
    ids: JmesPath | None = Field(
        default=None, description="a list of its ids of all that bear our reference; more than one is told to a person"
    )
    at: JmesPath | None = Field(default=None, description="when it took effect, by the system's clock")


class Before(Part):
    """What is asked before a write is made up: the answer's body is `before` in its expressions."""

    request: Request
    needs: JmesPath | None = Field(
        default=None, description="finds nothing: the write waits until it does; put to the body"
    )


class Condition(Part):
    """The value that a write was computed from, and the tag by which the vendor refuses it when that has moved."""

    request: Request
    current: JmesPath = Field(description="the value in the answer")
    etag: JmesPath = Field(default="headers.etag", description="put to {headers, body}")


Meaning = Literal["delivered", "already_delivered", "stale", "unavailable", "rejected", "throttled"]


class DeclaredWrite(Part):
    """One thing that is written, and what the vendor does with the same write told twice."""

    entity: Entity
    message_types: tuple[MessageType, ...] = Field(min_length=1)
    guarantee: Guarantee
    late_effect: Duration = timedelta(seconds=30)
    before: Before | None = None
    request: Request
    answers: dict[int, Meaning] = Field(
        default={}, description="what a status of 400 to 499 means here, where it is not a refusal"
    )
    native_id: JmesPath | None = Field(default=None, description="put to the body; else the end of the header Location")
    lookup: Lookup | None = None
    condition: Condition | None = None

    @model_validator(mode="after")
    def _can_be_promised(self) -> Self:
        odd = [status for status in self.answers if not 400 <= status < 500 or status in (401, 408)]
        if odd:
            raise ValueError(
                f"`answers` gives {odd[0]} a meaning; of statuses from 400 to 499 only, without 401 and 408"
            )
        if (self.condition or self.answers) and (self.request.graphql or self.request.operation):
            raise ValueError(
                "`condition` and `answers` are of HTTP, and graphql and operation have none of it; use `errors` of the manifest"
            )
        needs = {Guarantee.READABLE: "lookup", Guarantee.CONDITIONAL: "condition"}.get(self.guarantee)
        if needs and getattr(self, needs) is None:
            raise ValueError(f"the guarantee {self.guarantee} needs `{needs}`; add it, or declare another guarantee")
        if self.guarantee is Guarantee.KEYED and not self._is_known_by_a_key():
            raise ValueError(
                "the guarantee keyed needs `key`, `ref` or `subject` in the request: nothing tells the vendor that it is the same write"
            )
        return self

    def _is_known_by_a_key(self) -> bool:
        return any(re.search(r"(?<![\w.])(key|ref|subject)\b", one) for one in self.request.expressions())


class Soap(Part):
    """A WSDL, for requests that name an `operation`."""

    wsdl: PathBelow = Field(description="its path below the endpoint, e.g. /stock?wsdl")
    service: PathBelow | None = Field(
        default=None, description="where it is sent to, if the WSDL names a place outside of the endpoint"
    )


class Whole(Part):
    """A whole connector, whatever it speaks."""

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")
    place_options: ClassVar[tuple[str, ...]] = ()
    """Keys of a System's options that tell where it is, of which manifests do not speak."""
    title: str = Field(min_length=1, max_length=120)
    verified_against: str = "nothing yet"
    options: tuple[str, ...] = Field(default=(), description="keys of the System's options that values are taken from")
    optional: dict[str, Any] = Field(default={}, description="what an option is where the System does not say it")
    reads: tuple[Read, ...] = ()
    writes: tuple[DeclaredWrite, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the secrets that it takes."""
        return ()

    def optional_secrets(self) -> tuple[str, ...]:
        """Return those without which it works."""
        return ()

    @property
    def can_be_pinged(self) -> bool:
        """Whether it is known how to ask if the system answers."""
        return True

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for plural, listed in (("reads", self.reads), ("writes", self.writes)):
            names = [one.entity for one in listed]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice:
                raise ValueError(f"`{plural}` has '{twice}' twice; give each entity a name of its own")
        if not self.reads and not self.writes:
            raise ValueError("nothing is read and nothing is written; say `reads` or `writes`")
        return self


class Document(Whole):
    """A system that speaks REST, JSON, GraphQL or SOAP."""

    kind: Literal["rest"] = "rest"
    access: Access = Field(default={"kind": "none"}, validate_default=True, discriminator="kind")
    csrf: Csrf | None = None
    headers: dict[str, str] = Field(default={})
    ping: Request | None = None
    errors: tuple[Rule, ...] = ()
    soap: Soap | None = None
    reads: tuple[RestRead, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the names of the secrets that getting in takes."""
        return self.access.secrets()

    @property
    def can_be_pinged(self) -> bool:
        """Whether there is a `ping`."""
        return self.ping is not None


class SqlRead(Read):
    """Rows of a query, in the order in which the database gives them."""

    query: str = Field(min_length=1, max_length=20_000, description="one SELECT; `:name` is a parameter")
    params: dict[str, Value] = Field(default={}, description="parameter -> value; expressions see `since`")
    size: int = Field(default=1000, ge=1, le=100_000, description="rows of one page")

    @model_validator(mode="after")
    def _selects(self) -> Self:
        plain = _COMMENT.sub(" ", self.query).strip().rstrip(";")
        if not re.match(r"(?i)(select|with)\b", plain) or ";" in plain:
            raise ValueError("`query` is something else than one SELECT; a database is read only")
        missing = sorted(set(_PARAMETER.findall(plain)) - set(self.params))
        if missing:
            raise ValueError(f"`query` takes :{missing[0]}, and `params` do not say what it is; add it there")
        return self


class SqlDocument(Whole):
    """A database that SQLAlchemy knows. The endpoint is its URL without a password. It is read only."""

    schemes: ClassVar[tuple[str, ...]] = SQL_SCHEMES
    kind: Literal["sql"]
    reads: tuple[SqlRead, ...] = Field(min_length=1)
    writes: tuple[DeclaredWrite, ...] = Field(default=(), max_length=0, description="nothing: a database is read only")

    def secrets(self) -> tuple[str, ...]:
        """Return the name of the password."""
        return ("password",)

    def optional_secrets(self) -> tuple[str, ...]:
        """A database may let in without."""
        return ("password",)


class Column(Part):
    """A column of a file without separators: from character `at` (the first is 1), so many long."""

    name: str
    at: int = Field(ge=1)
    length: int = Field(ge=1)


class FilesRead(Read):
    """Records of files in a folder; each file is read once, whole, and stays where it is."""

    pattern: str = Field(min_length=1, max_length=200, description="of file names, e.g. stock_*.csv")
    form: Literal["csv", "json_lines", "excel", "fixed", "xml"]
    record: str = Field(
        default="", max_length=200, description="of XML: the element that is a record, without its namespace"
    )
    encoding: str = "utf-8-sig"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    sheet: str | None = Field(default=None, description="of a spreadsheet; the first, unless told")
    header: int = Field(default=1, ge=1, description="the line, or row, that names the columns")
    columns: tuple[Column, ...] = ()
    size: int = Field(default=1000, ge=1, le=100_000, description="records of one page")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if (self.form == "fixed") != bool(self.columns):
            raise ValueError("`columns` say where each column stands; they belong to the form fixed, which needs them")
        if (self.form == "xml") != bool(self.record):
            raise ValueError("`record` says which element is one; it belongs to the form xml, which needs it")
        if "/" in self.pattern or ".." in self.pattern:
            raise ValueError(f"'{self.pattern}' leads out of the folder; write a pattern of file names")
        if self.since is not None:
            raise ValueError("files have no `since`: each is read once; take it out")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"there is no encoding '{self.encoding}'; write one like utf-8-sig or cp1252") from None
        return self


class FilesDocument(Whole):
    """A folder. The endpoint is its path, sftp://HOST[:PORT]/PATH, or s3://BUCKET/PREFIX. It is read only."""

    schemes: ClassVar[tuple[str, ...]] = FILE_SCHEMES
    place_options: ClassVar[tuple[str, ...]] = ("host_key", "region", "s3_endpoint")
    kind: Literal["files"]
    reads: tuple[FilesRead, ...] = Field(min_length=1)
    writes: tuple[DeclaredWrite, ...] = Field(default=(), max_length=0, description="nothing: a folder is read only")

    def secrets(self) -> tuple[str, ...]:
        """Return the names of those of an SFTP server (the first three) and of a bucket."""
        return ("user", "password", "private_key", "key_id", "secret_key", "session_token")

    def optional_secrets(self) -> tuple[str, ...]:
        """A folder of this machine takes none."""
        return self.secrets()


AnyDocument = Annotated[Document | SqlDocument | FilesDocument, Field(discriminator="kind")]
FORM: TypeAdapter[Document | SqlDocument | FilesDocument] = TypeAdapter(AnyDocument)
