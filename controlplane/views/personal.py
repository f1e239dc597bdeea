"""Show what arrived without showing whom it is about. What is taken in now is sealed already (`controlplane/sealing`); this hides, by
name, secrets, and what is personal in records from before. Long texts are cut.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rules.personal import ADDRESS, MASK

HIDDEN = "[hidden]"
LIMIT = 4000
"""Characters shown of one body."""
FIELD = re.compile(
    r"(e[-_]?mail|phone|mobile|passw|secret|token|api[-_]?key|authorization|cookie|hmac|signature|address|street|"
    r"zip|postal|first_?name|last_?name|full_?name|customer_?name|recipient|birth|iban|card_?number)",
    re.I,
)


def masked(value: Any) -> Any:
    """Return the value with every field that by its name may tell of a person, or be a credential, hidden."""
    if isinstance(value, dict):
        return {name: HIDDEN if _hides(name, inner) else masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def _hides(name: str, value: Any) -> bool:
    if isinstance(value, str) and (value == MASK or value.startswith("hmac:")):
        return False  # it says which are equal, and nothing more
    return bool(FIELD.search(name)) and value not in (None, "", [], {})


def readable(body: bytes, limit: int = LIMIT) -> str:
    """Return a body as text: JSON masked and indented, CSV and others as they are, cut at the limit with a note."""
    text = body.decode("utf-8", errors="replace")
    try:
        text = json.dumps(masked(json.loads(text)), indent=2, ensure_ascii=False)
    except ValueError:
        text = ADDRESS.sub(HIDDEN, text)
    return text if len(text) <= limit else f"{text[:limit]}\n… {len(text) - limit:,} characters more"
