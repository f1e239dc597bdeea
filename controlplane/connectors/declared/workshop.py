"""Where a declared connector is made: begun from a scaffold, checked, and tried live against its system."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from controlplane.clock import SystemClock
from controlplane.connectors.connections import context_of
from controlplane.connectors.contract import UnsupportedError
from controlplane.connectors.declared import reading
from controlplane.connectors.declared.checks import ManifestError, check, document_of
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.connectors.declared.manifest import Read, Whole
from controlplane.connectors.declared.promises import shortfalls
from controlplane.connectors.http import Answer
from controlplane.errors import BadInputError, ConnectorError, NotFoundError, TrueupError
from controlplane.registry import Snapshot
from controlplane.registry.packs import read as read_policies
from controlplane.settings import load_settings
from rules.personal import masking, shown
from rules.policy.kinds import POLICY_NAME, System
from rules.policy.text import read_text

Say = Callable[[str], object]


def begin(name: str, kind: str, path: Path) -> Path:
    """Write a scaffold. Raises BadInputError for a name or kind that is none, and where the file is there already."""
    folder = files("controlplane.connectors.declared") / "scaffolds"
    kinds = sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))
    if kind not in kinds:
        raise BadInputError(f"there is no scaffold '{kind}'; there are: {', '.join(kinds)}", "kind")
    if not re.fullmatch(POLICY_NAME, name):
        raise BadInputError(
            f"'{name}' is no name of a System: lower-case letters, digits and hyphens, e.g. acme-shop", "name"
        )
    text = (
        (folder / f"{kind}.yaml")
        .read_text(encoding="utf-8")
        .replace("NAME", name)
        .replace("SECRET", name.upper().replace("-", "_"))
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BadInputError(f"{path} is there already; name another file with --out") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror}; name another file with --out") from error
    return path


def check_file(path: Path) -> tuple[list[str], bool]:
    """Return what is to be said of the manifests of a file, and whether they are all good."""
    lines, good = [], True
    for name, endpoint, options in _declared_in(path):
        flaws = list(check(endpoint, options))
        good = good and not flaws
        lines += [f"{name}: {'.'.join(place)}: {rule}; {remedy}" for place, rule, remedy in flaws]
        if not flaws:
            lines += _summary(name, document_of(options))
    return lines, good


def _summary(name: str, document: Whole) -> Iterator[str]:
    reads = ", ".join(one.entity for one in document.reads) or "nothing"
    writes = ", ".join(f"{one.entity} ({one.guarantee})" for one in document.writes) or "nothing"
    yield f"{name}: good. It reads {reads}; it writes {writes}; secrets: {', '.join(document.secrets()) or 'none'}"
    yield from (f"{name}: cannot be promised: {told}" for told in shortfalls(document))


def _declared_in(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield name, endpoint and options of what a file declares: policies, or one bare manifest."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {error}; give a YAML file in UTF-8") from error
    documents, problems = read_text(text, str(path))
    if problems:
        raise BadInputError("\n".join(map(str, problems)))
    told = documents[0].value if len(documents) == 1 else None
    if isinstance(told, dict) and "apiVersion" not in told:
        yield path.stem, "", {"manifest": told, **dict.fromkeys(_options(told))}
        return
    for one in _systems(path):
        yield one.name, one.spec.endpoint, one.spec.options


def _options(manifest: Mapping[str, Any]) -> list[str]:
    given = manifest.get("options")
    return [str(one) for one in given] if isinstance(given, list) else []


def _systems(path: Path) -> list[System]:
    entries, problems = read_policies([path])
    if problems:
        raise BadInputError("\n".join(map(str, problems)))
    found = [
        entry.document
        for entry in entries
        if isinstance(entry.document, System) and entry.document.spec.connector == "declared"
    ]
    if not found:
        raise BadInputError(f"{path} has no System whose connector is declared; `trueup connector new` begins one")
    return found


def try_file(path: Path, system: str, entity: str, rows: int, say: Say) -> bool:
    """Ping a System and read the first page of each entity; say what it says beside what is understood. Whether all was understood."""
    connector = _connector(path, system)
    try:
        good = _pinged(connector, say)
        wanted = [one.entity for one in connector.document.reads if entity in ("", one.entity)]
        if not wanted:
            known = ", ".join(one.entity for one in connector.document.reads) or "nothing"
            raise NotFoundError(f"the manifest does not read '{entity}'; it reads: {known}")
        for one in wanted:
            good = _tried(connector, one, rows, say) and good
    finally:
        connector.close()
    for told in shortfalls(connector.document):
        say(f"cannot be promised: {told}")
    return good


def _connector(path: Path, system: str) -> DeclaredConnector:
    systems = {one.name: one for one in _systems(path)}
    name = system or next(iter(systems))
    if name not in systems or (not system and len(systems) > 1):
        raise NotFoundError(f"name one System of {path} with --system: {', '.join(systems)}")
    flaws = list(check(systems[name].spec.endpoint, systems[name].spec.options))
    if flaws:
        raise ManifestError(flaws)
    entries, _ = read_policies([path])
    snapshot = Snapshot(1, {(one.document.kind, one.document.name): one.document for one in entries}, {})
    return DeclaredConnector(context_of(snapshot, name, load_settings(), SystemClock()))


def _pinged(connector: DeclaredConnector, say: Say) -> bool:
    try:
        connector.ping()
    except UnsupportedError:
        return True
    except ConnectorError as error:
        say(f"ping: {error}")
        return False
    say("ping: it answers")
    return True


def _tried(connector: DeclaredConnector, entity: str, count: int, say: Say) -> bool:
    try:
        read, rows, answer = connector.first_page(entity)
    except (ConnectorError, BadInputError) as error:
        say(f"{entity}: {error}")
        return False
    took = (answer.ended - answer.started).total_seconds()
    say(f"{entity}: {len(rows)} records on the first page, in {took:.2f} s")
    good = True
    for row in rows[:count]:
        good = _shown(connector, read, row, answer, say) and good
    return _timed(read, rows, say) and good


def _shown(connector: DeclaredConnector, read: Read, row: dict[str, Any], answer: Answer, say: Say) -> bool:
    """Say one record as it came, without what is personal in it, and what is made of it."""
    native = shown(row, connector.context.personal, masking).value
    say(f"  native     {json.dumps(native, ensure_ascii=False)[:1000]}")
    try:
        for draft in connector.translate(read.entity, reading.record_of(read, row, answer.started).body):
            say(f"  canonical  {draft.type} {draft.subject} {json.dumps(draft.data, ensure_ascii=False)}")
        if read.levels:
            for level in reading.levels_of(read.levels, row, answer, connector.context, connector.options):
                say(
                    f"  level      {level.sku}@{level.location} on hand {level.on_hand}, available {level.available}, at {level.source_at}"
                )
    except TrueupError as error:
        say(f"  refused    {error}")
        return False
    return True


def _timed(read: Read, rows: list[dict[str, Any]], say: Say) -> bool:
    if read.since is None or not rows:
        return True
    silent = sum(reading.changed_at(read.since, row) is None for row in rows)
    if silent:
        say(
            f"  `since`: {silent} of {len(rows)} records give no time of change where '{read.since.field}' looks for it; "
            "of one that names no zone `since.zone` has to say which"
        )
    return not silent
