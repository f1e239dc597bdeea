"""Writing small files as systems export them, and comparing them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probes.comparisons.files import Result, compare_files

Write = Callable[[str, str | bytes], Path]
Compare = Callable[..., Result]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


@pytest.fixture
def stock() -> Compare:
    """Compare by sku, the value being qty."""

    def compare(*paths: Path, **options: Any) -> Result:
        return compare_files(paths, **{"keys": ["sku"], "values": ["qty"], **options})

    return compare
