"""The disk of the embedded store is full: what was acknowledged stays, the rest is refused before it is taken, and it goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.depot.process import DepotProcess
from tests.chaos.feed import Event, by_api, by_webhook, receipt
from tests.chaos.judge import judge
from tests.chaos.plane import Plane
from tests.chaos.processes import wait_until

pytestmark = pytest.mark.chaos
MB = 2**20
DISK = 160 * MB
KEPT_FREE = 64 * MB
"""The plane takes nothing while there is less room than this."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, of 160 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    told = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(told, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def plane(small_disk: Path, plugin_folder: Path, depot: DepotProcess) -> Iterator[Plane]:
    """A plane whose home is on the small disk."""
    plane = Plane(small_disk / "home", plugin_folder, depot.port)
    try:
        plane.start()
        yield plane
    finally:
        plane.close()


def fill(folder: Path, leave: int) -> Path:
    """Leave so many bytes of room, or none; return the file that takes the others."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # full: somebody else writes here too
        while shutil.disk_usage(folder).free > leave:
            file.write(bytes(min(MB, max(4096, shutil.disk_usage(folder).free - leave))))
    return ballast


def post_until_refused(client: httpx.Client, token: str, number: int) -> tuple[list[Event], httpx.Response]:
    """Post documents one by one; return those that were acknowledged, and the first other answer."""
    taken: list[Event] = []
    while len(taken) < 3000:
        event = receipt(number + len(taken), number + len(taken))
        answer = by_api(token)(client, [event])
        if answer.status_code != 202:
            return taken, answer
        taken.append(event)
    raise AssertionError("3,000 documents were taken on a full disk")


@pytest.mark.parametrize("leave", [KEPT_FREE // 2, 0], ids=["nearly full", "full to the last byte"])
def test_a_full_disk_refuses_keeps_what_was_acknowledged_and_goes_on_when_there_is_room(
    plane: Plane, depot: DepotProcess, small_disk: Path, leave: int
) -> None:
    with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as client:
        events = [receipt(number, number) for number in range(50)]
        assert by_api(plane.token)(client, events).status_code == 202
        ballast = fill(small_disk, leave)
        more, refused = post_until_refused(client, plane.token, len(events))
        events += more
        assert refused.status_code == 503, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["Retry-After"]) > 0
        hook = by_webhook(client, [receipt(9000, 9000)])
        assert (hook.status_code, "Retry-After" in hook.headers) == (503, True), hook.text
        assert "the disk of the store has only" in hook.json()["detail"]
        ballast.unlink()
        last = [receipt(number, number) for number in range(10_000, 10_010)]
        assert by_api(plane.token)(client, last).status_code == 202, "it goes on without a restart"
        events += last
    assert plane.process.alive

    def over() -> bool:
        verdict = judge(events, events, depot.journal, frozenset({"keyed", "readable", "none"}))
        return plane.quiet() and not verdict.lost

    plane.wait_until(over, "all that was acknowledged has arrived", 120)
    verdict = judge(events, events, depot.journal, frozenset({"keyed", "readable"}))
    assert verdict.fine, str(verdict)


def test_a_start_on_a_full_disk_fails_with_the_reason_or_serves_and_ends_well_when_there_is_room(
    plane: Plane, depot: DepotProcess, small_disk: Path, tmp_path: Path
) -> None:
    with httpx.Client(base_url=plane.url, trust_env=False, timeout=30) as client:
        events = [receipt(number, number) for number in range(20)]
        assert by_api(plane.token)(client, events).status_code == 202
    plane.stop()
    ballast = fill(small_disk, 0)
    plane.process.log = tmp_path / "plane.out"
    plane.start(wait=False)
    wait_until(lambda: not plane.process.alive or plane.answers(), "it ends or serves", 60)
    told = plane.process.tail(20)
    assert "Traceback" not in told
    assert plane.process.alive or "that its disk has room" in told, told
    ballast.unlink()
    if not plane.process.alive:
        plane.start()
    plane.wait_until(plane.quiet, "all that was acknowledged has arrived", 120)
    verdict = judge(events, events, depot.journal, frozenset({"keyed", "readable"}))
    assert verdict.fine, str(verdict)
