"""The depot's connector as a package of somebody else's: found by its entry point in a folder on PYTHONPATH."""

from __future__ import annotations

import shutil
from pathlib import Path

ENTRY_POINTS = "[trueup.connectors]\ndepot = trueup_depot:DepotConnector\n"
METADATA = "Metadata-Version: 2.1\nName: trueup-depot\nVersion: 1.0\n"


def install(folder: Path) -> Path:
    """Put the package into a folder, as an installer would; return the folder."""
    told = folder / "trueup_depot-1.0.dist-info"
    told.mkdir(parents=True, exist_ok=True)
    (told / "METADATA").write_text(METADATA, encoding="utf-8")
    (told / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("trueup_depot.py"), folder)
    return folder
