"""How often Python looks for garbage in a process that serves. What a plane loads at its start it holds until its end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG, MIDDLE, OLD = 10_000, 20, 20
"""Objects made and not gone again after which the youngest are looked through; so many such looks before the middle ones are, and all."""


@contextmanager
def start_is_kept() -> Iterator[None]:
    """Look, within the block, through nothing that was there before it, and through what comes less often.

    Half a million objects of code, policies and forms are there at the start. All threads wait while they are looked through,
    which takes 0.1 s and more; a burst of messages has it done every few thousand.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
