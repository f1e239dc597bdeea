"""What goes wrong on demand: by inlet and reference, so many times, or with a seeded share of all requests."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, get_type_hints

KINDS = {
    "unavailable": "503, nothing took effect; with `retry_after` it says so in the header",
    "throttled": "429 with Retry-After, nothing took effect",
    "silence": "no answer until the caller gives up, nothing took effect",
    "effect_then_silence": "the effect, and no answer until the caller gives up",
    "reset": "the connection is reset, nothing took effect",
    "effect_then_reset": "the effect, and the connection is reset instead of an answer",
    "late_effect": "the connection is reset, and `ms` later the effect",
    "effect_after_lookup": "the connection is reset, and the effect right after the reference was looked up in vain",
    "slow": "answers `ms` later",
    "error_inside": "200 with an error in the body, nothing took effect; `code`: busy (try again) or invalid",
    "garbled": "the effect, and a 200 that nobody can read",
    "poison": "400, and 400 again each time",
}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong. `inlet` and `ref` are patterns (`*`, `?`); times None: until it is cleared."""

    kind: str
    inlet: str = "*"
    ref: str = "*"
    on: str = "write"
    """write or lookup"""
    times: int | None = 1
    share: float = 1.0
    ms: float = 0.0
    retry_after: float | None = None
    code: str = "busy"

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Fault:
        """Read a fault from JSON. Raises ValueError saying what is taken."""
        known = get_type_hints(cls)
        if unknown := sorted(set(told) - set(known)):
            raise ValueError(f"a fault has no {', '.join(unknown)}; it has: {', '.join(known)}")
        fault = cls(**told)
        if fault.kind not in KINDS:
            raise ValueError(f"there is no fault '{fault.kind}'; there are: {', '.join(KINDS)}")
        if fault.on not in ("write", "lookup"):
            raise ValueError(f"a fault is on write or lookup, not on '{fault.on}'")
        return fault

    def fits(self, inlet: str, ref: str, on: str) -> bool:
        """Whether it is meant for such a request and not used up."""
        return self.times != 0 and self.on == on and fnmatchcase(inlet, self.inlet) and fnmatchcase(ref, self.ref)


class FaultBook:
    """The faults that are ordered. The first that fits strikes, and is used up by that."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.struck = 0
        """How often any fault has struck."""

    def order(self, fault: Fault) -> None:
        """Add a fault behind those that are there."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults; what is under way runs its course."""
        with self._lock:
            self._faults.clear()

    def pick(self, inlet: str, ref: str, on: str) -> Fault | None:
        """Return what goes wrong with a request, if anything."""
        with self._lock:
            for fault in self._faults:
                if fault.fits(inlet, ref, on) and self._random.random() < fault.share:
                    if fault.times is not None:
                        fault.times -= 1
                    self.struck += 1
                    return fault
        return None

    def told(self) -> list[dict[str, Any]]:
        """Return the faults that are not used up."""
        with self._lock:
            return [asdict(fault) for fault in self._faults if fault.times != 0]
