"""The policies a scenario is played under: the sandbox pack, with the scenario's own documents laid over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from controlplane.registry.packs import check, pack_folder, texts
from controlplane.scenarios.scenario import PolicyChange, ScenarioError
from rules.policy.text import read_text

PACK, ERP, WAREHOUSE = "sandbox", "erp", "WH1"
PLU = "tills-sku"
"""The mapping of what the tills call the articles."""
Documents = dict[tuple[str, str], dict[str, Any]]


def write_pack(
    folder: Path,
    changes: Sequence[PolicyChange],
    stores: Sequence[str] | None = None,
    articles: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the pack with the changes merged into a folder of its own and return it.

    `stores`: those that the retailer has, where it does not have all of the pack's; policies promise nothing of the others.
    `articles`: those that the retailer has (`sku`, `plu`); what its tills call them is added to the pack's mapping.
    Raises ScenarioError with a line for each problem when what comes of it is refused.
    """
    documents = _pack()
    if stores is not None:
        options = documents["System", ERP]["spec"]["options"]
        options["locations"] = [name for name in options["locations"] if name == WAREHOUSE or name in stores]
    if articles:
        codes = {article["plu"]: article["sku"] for article in articles}
        documents["Mapping", PLU]["spec"]["codes"] |= codes
    for change in changes:
        key = (change.kind, change.metadata["name"])
        documents[key] = merged(documents.get(key, {}), change.model_dump(mode="json"))
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump_all(documents.values(), sort_keys=False, allow_unicode=True)
    (folder / "policies.yaml").write_text(text, encoding="utf-8")
    _, problems = check([folder])
    if problems:
        raise ScenarioError("policies of the scenario, merged into the pack:\n" + "\n".join(map(str, problems)))
    return folder


def _pack() -> Documents:
    read, _ = texts([pack_folder(PACK)])
    documents = [raw.value for file, text in read for raw in read_text(text, file)[0]]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another: mappings merge key by key, everything else replaces."""
    result = dict(base)
    for name, value in change.items():
        known = result.get(name)
        result[name] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result
