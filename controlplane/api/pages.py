"""Lists in parts: what asks for a part."""

from __future__ import annotations

from pydantic import Field

from controlplane.api.fields import KEPT, Query
from controlplane.views.paging import MOST, Stretch


class Paged(Query):
    """Which part of a list that grows."""

    limit: int = Field(default=100, ge=1, le=MOST, description="rows of a part")
    cursor: str | None = Field(default=None, max_length=1000, pattern=KEPT, description="`next` of the part before")

    @property
    def stretch(self) -> Stretch:
        """The part, as the views take it."""
        return Stretch(self.limit, self.cursor)
