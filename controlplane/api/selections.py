"""What people say about records in quarantine: which of them, and how they ought to be."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from controlplane.api.fields import KEPT, Body, Flag, Note, Reason, Text
from controlplane.api.pages import Paged
from controlplane.sync.engines.workbench import Edit
from controlplane.sync.quarantine import Selection
from controlplane.sync.quarantine.selection import MOST

After = Annotated[str, Field(default="", max_length=36, description="`next` of the answer before")]
Cause = Literal["system", "flow", "code", "fault", "owner", "stage"]
WAYS = ({"record"}, {"set", "remove"}, {"accept"})
ONE_WAY: dict[str, Any] = {
    "oneOf": [
        {"required": ["record"]},
        {"required": ["accept"]},
        {"anyOf": [{"required": ["set"]}, {"required": ["remove"]}]},
    ]
}


class ById(Body):
    """Cases by their ids."""

    ids: list[Text] = Field(min_length=1, max_length=MOST)
    after: After


class ByCause(Body):
    """The open cases that have these in common."""

    group: dict[Cause, Annotated[str, Field(max_length=200, pattern=KEPT)]] = Field(min_length=1)
    after: After


class Chosen(Body):
    """Which records."""

    select: ById | ByCause

    @property
    def selection(self) -> Selection:
        """The cases that are meant."""
        return Selection.of(self.select.model_dump())


class Look(Chosen):
    """Which records are looked at."""


class Release(Chosen):
    """Which records go on their way again, and how fast."""

    rate: float | None = Field(default=None, ge=0.001, le=10_000, description="a second; by default the System's")


class Drop(Chosen):
    """Which records are not owed any more, and why."""

    reason: Reason


class Amendment(Body):
    """How a record ought to be: whole, or with values put and removed, or as it is."""

    model_config = ConfigDict(json_schema_extra=ONE_WAY)

    record: dict[str, Any] = Field(default={}, min_length=1, description="whole, as the original is")
    set: dict[str, Any] = Field(default={}, min_length=1, description="path -> value")
    remove: list[Text] = Field(default=[], min_length=1, description="paths")
    accept: Reason = Field(default="", description="why it may pass as it is")
    note: Note = Field(default="", description="what others should know")
    dry_run: bool = Field(default=False, description="only show before and after")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(bool(self.model_fields_set & way) for way in WAYS) != 1:
            raise ValueError("a correction is a whole `record`, or values to `set` and `remove`, or `accept`; give one")
        return self

    @property
    def edit(self) -> Edit:
        """The correction, as the workbench takes it."""
        return Edit(self.record or None, self.set or None, tuple(self.remove), self.accept.strip(), self.note.strip())


class Amendments(Chosen, Amendment):
    """Which records, and how they ought to be."""


class Agreement(Body):
    """What is agreed to."""

    correction_id: Text | None = Field(default=None, description="the correction that was looked at")
    note: Note = ""


class CasesQuery(Paged):
    """Which cases."""

    group: Literal["cause"] | None = Field(default=None, description="count them by cause")
    all: Flag = Field(default=False, description="also those that are closed")
    system: Text | None = None
    flow: Text | None = None
    code: Text | None = None
    fault: Annotated[str, Field(max_length=200, pattern=KEPT)] | None = None
    owner: Text | None = None
    stage: Text | None = None

    @property
    def narrow(self) -> dict[str, str]:
        """What the cases have in common."""
        return self.model_dump(include=set(get_args(Cause)), exclude_none=True)
