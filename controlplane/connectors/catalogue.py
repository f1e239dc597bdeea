"""What the connectors declare, for people: the list, one whole declaration, and the table of docs/connectors.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controlplane.connectors.contract import Manifest, ReadSpec, WriteSpec
from controlplane.connectors.planned import PLANNED
from controlplane.plugins import load, registered

OURS = "controlplane."
"""Where the connectors that we ship stand; what else is installed is not in our docs."""
QUEUE = "what is in a queue"
HEAD = (
    "connector", "kind", "reads", "writes", "receives", "probes", "auth", "limits", "idempotency", "verified against",
    "known not to work",
)  # fmt: skip
NOTHING = "–"


def listed(manifest: Manifest) -> dict[str, Any]:
    """Return a connector in short, as `trueup connector list --json` prints it."""
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "reads": [spec.entity for spec in manifest.reads],
        "writes": {spec.entity: str(spec.guarantee) for spec in manifest.writes},
        "receives": [*manifest.receives, *([QUEUE] if manifest.consumes else [])],
        "probes": list(manifest.probes),
        "verified_against": manifest.verified_against,
    }


def declared(manifest: Manifest) -> dict[str, Any]:
    """Return all that a connector declares, as JSON has it."""
    return {
        **listed(manifest),
        "title": manifest.title,
        "reads": [
            {"entity": one.entity, "snapshot": one.snapshot, "changes": one.changes, "listing": one.listing}
            for one in manifest.reads
        ],
        "writes": [_write(one) for one in manifest.writes],
        "schemes": list(manifest.schemes),
        "config": manifest.config_schema(),
        "credentials": manifest.credential_schema(),
        "statuses": {what: dict(codes) for what, codes in manifest.statuses.items()},
        "auth": manifest.auth,
        "limits": manifest.limits,
        "known_not_to_work": list(manifest.gaps),
    }


def _write(spec: WriteSpec) -> dict[str, Any]:
    return {
        "entity": spec.entity,
        "message_types": list(spec.message_types),
        "guarantee": str(spec.guarantee),
        "how": spec.how,
        "late_effect_seconds": spec.late_effect,
        "batch": spec.batch,
    }


def shipped() -> dict[str, Manifest]:
    """Return name -> manifest of the connectors that we ship."""
    ours = [name for name, point in registered("connectors").items() if point.value.startswith(OURS)]
    return {name: load("connectors", name).manifest for name in ours}


def table() -> str:
    """Return the table of docs/connectors.md: a row for each connector that we ship, and one for each that is to come."""
    manifests = shipped()
    rows = [_row(HEAD), _row("---" for _ in HEAD), *(_row(_cells(manifest)) for manifest in manifests.values())]
    for name, title, kind in PLANNED:
        if name not in manifests:
            rows.append(_row([f"`{name}`", kind, f"not yet ({title})", *(NOTHING for _ in HEAD[3:])]))
    return "\n".join(rows)


def _cells(manifest: Manifest) -> list[str]:
    receives = [*(f"`{topic}`" for topic in manifest.receives), *([QUEUE] if manifest.consumes else [])]
    return [
        f"`{manifest.name}`", manifest.kind, _joined(map(_read, manifest.reads)),
        _joined(f"`{spec.entity}`" for spec in manifest.writes), _joined(receives), _joined(manifest.probes), manifest.auth,
        manifest.limits, _guarantees(manifest.writes), manifest.verified_against, "; ".join(manifest.gaps) or "nothing known",
    ]  # fmt: skip


def _read(spec: ReadSpec) -> str:
    ways = [
        way for way, can in (("snapshot", spec.snapshot), ("changes", spec.changes), ("listing", spec.listing)) if can
    ]
    return f"`{spec.entity}` ({', '.join(ways)})"


def _guarantees(writes: Iterable[WriteSpec]) -> str:
    """Return what the writes promise; those that promise the same are told together."""
    told: dict[str, list[str]] = {}
    for spec in writes:
        told.setdefault(f"{spec.guarantee}{f' ({spec.how})' if spec.how else ''}", []).append(f"`{spec.entity}`")
    if len(told) == 1:
        return next(iter(told))
    return _joined((f"{', '.join(entities)}: {promise}" for promise, entities in told.items()), "; ")


def _joined(parts: Iterable[str], by: str = ", ") -> str:
    return by.join(parts) or NOTHING


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
