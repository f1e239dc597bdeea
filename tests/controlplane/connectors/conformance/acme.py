"""The example's shop, where it stands in the docs: a connector without a flaw, to put flaws into."""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[4] / "docs/examples/acme_shop"
if str(EXAMPLE) not in sys.path:
    sys.path.append(str(EXAMPLE))

from acme_shop.bench import AcmeBench  # noqa: E402
from acme_shop.connector import AcmeConnector  # noqa: E402

__all__ = ["EXAMPLE", "AcmeBench", "AcmeConnector"]
