"""Which tests one process of a run in parallel takes together: a file, or a folder whose files share systems brought up once."""

from __future__ import annotations

from xdist.scheduler.loadfile import LoadFileScheduling

TOGETHER = "tests/integration/real/"


class ByFile(LoadFileScheduling):
    """A file is one piece of work; what lies under TOGETHER is one piece, whatever the file."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else super()._split_scope(nodeid)
