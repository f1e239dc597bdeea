"""Codes from Mapping policies: a system's words for our SKUs, locations and the rest."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.connectors.contract import UnmappedError
from controlplane.registry import Snapshot
from rules.policy.kinds import MappingSpec


class MappedCodes:
    """The translations of one system. Where there is no Mapping for an entity, codes stand for themselves."""

    def __init__(self, system: str, mappings: Mapping[str, MappingSpec]) -> None:
        self.system = system
        self._strict = {entity: spec.strict for entity, spec in mappings.items()}
        self._ours = {entity: spec.codes for entity, spec in mappings.items()}
        self._theirs = {entity: _turned(spec.codes) for entity, spec in mappings.items()}

    def ours(self, entity: str, theirs: str) -> str:
        """Translate a code of the system into ours. Raises UnmappedError when a strict mapping does not list it."""
        return self._translate(self._ours, entity, theirs)

    def theirs(self, entity: str, ours: str) -> str:
        """Translate our code into the system's. Raises UnmappedError when a strict mapping does not list it."""
        return self._translate(self._theirs, entity, ours)

    def _translate(self, table: Mapping[str, Mapping[str, str]], entity: str, code: str) -> str:
        found = table.get(entity, {}).get(code)
        if found is not None:
            return found
        if self._strict.get(entity, False):
            raise UnmappedError(entity, code, self.system)
        return code


def _turned(codes: Mapping[str, str]) -> dict[str, str]:
    """Turn theirs -> ours around; where several of theirs mean the same, the first in order is what we send."""
    return {ours: theirs for theirs, ours in sorted(codes.items(), reverse=True)}


def codes_for(snapshot: Snapshot, system: str) -> MappedCodes:
    """Return the translations of a system as one version of the registry has them."""
    return MappedCodes(system, snapshot.mapping_codes(system))
