"""Requests that come together share a commit, and each is answered after it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from controlplane.sync.intake.group import GroupCommit


class Slow:
    """A store whose commit lasts until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self.entered = threading.Event()

    def commit(self, items: Sequence[int]) -> list[int]:
        self.entered.set()
        self.go.wait(10)
        self.groups.append(list(items))
        if 13 in items:
            raise OSError("the disk is full")
        return [item * 10 for item in items]


def test_who_comes_while_a_commit_lasts_shares_the_next_one() -> None:
    slow = Slow()
    group: GroupCommit[int, int] = GroupCommit(slow.commit, 256)
    with ThreadPoolExecutor(16) as pool:
        first = pool.submit(group.hand_in, 0)
        assert slow.entered.wait(10)
        rest = [pool.submit(group.hand_in, number) for number in range(1, 13)]
        while group.waiting() < 12:
            pass
        slow.go.set()
        assert [future.result(10) for future in [first, *rest]] == [number * 10 for number in range(13)]
    assert [len(found) for found in slow.groups] == [1, 12]
    assert (group.commits, group.requests) == (2, 13)


def test_no_group_is_larger_than_allowed_and_nobody_waits_for_ever() -> None:
    slow = Slow()
    slow.go.set()
    group: GroupCommit[int, int] = GroupCommit(slow.commit, 3)
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(group.hand_in, range(20, 220))) == [number * 10 for number in range(20, 220)]
    assert max(len(found) for found in slow.groups) <= 3


def test_a_commit_that_fails_is_told_to_all_of_its_group_and_to_nobody_else() -> None:
    slow = Slow()
    slow.go.set()
    group: GroupCommit[int, int] = GroupCommit(slow.commit, 256)
    with pytest.raises(OSError, match="full"):
        group.hand_in(13)
    assert group.hand_in(1) == 10
