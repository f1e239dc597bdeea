"""AccountingRules that wait for a tax engine, and whether anything takes the question there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rules.policy import kinds as k
from rules.policy.reading import Entry
from rules.policy.sense import EntryFlaw

ENGINE = "tax"


def unasked(entries: Sequence[Entry]) -> Iterator[EntryFlaw]:
    """Yield the rules whose engine is none, or is never asked: what they are about would wait for ever."""
    documents = [entry.document for entry in entries]
    roles = {one.name: one.spec.role for one in documents if isinstance(one, k.System)}
    asked = {
        target.system
        for one in documents
        if isinstance(one, k.Flow) and one.spec.source == "plane" and "tax.asked" in one.spec.message_types
        for target in one.spec.targets
    }
    for entry in entries:
        if not isinstance(entry.document, k.AccountingRule) or entry.document.spec.tax is None:
            continue
        engine = entry.document.spec.tax.system
        if engine in roles and roles[engine] != ENGINE:
            rule = f"the System '{engine}' has the role {roles[engine]}, and tax is wanted here"
            yield entry, ("spec", "tax", "system"), rule, "name a System whose role is tax"
        elif engine in roles and engine not in asked:
            rule = f"no Flow takes tax.asked from the plane to '{engine}', so nothing would ever be posted"
            remedy = f"add a Flow of source plane, message_types [tax.asked] and the target {engine}"
            yield entry, ("spec", "tax", "system"), rule, remedy
