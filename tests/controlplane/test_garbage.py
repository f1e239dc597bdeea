"""What a serving process looks through when it looks for garbage."""

from __future__ import annotations

import gc
import weakref

from controlplane import garbage


class _Ring:
    def __init__(self) -> None:
        self.self = self


def test_what_was_there_at_the_start_is_not_looked_through_and_what_comes_later_is() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    early = _Ring()
    kept = weakref.ref(early)
    with garbage.start_is_kept():
        del early
        late = weakref.ref(_Ring())
        gc.collect()
        assert kept() is not None
        assert late() is None
        assert gc.get_threshold() == (garbage.YOUNG, garbage.MIDDLE, garbage.OLD)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)
    gc.collect()
    assert kept() is None
