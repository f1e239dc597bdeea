"""Where the systems answer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Server(NamedTuple):
    """A Tryton, user admin."""

    url: str
    password: str


class Shop(NamedTuple):
    """A Vendure, user superadmin."""

    url: str
    password: str


class Mocks(NamedTuple):
    """Stand-ins that nobody here wrote, as addresses; the folder with their programs in `venv/bin`."""

    folder: Path
    stripe: str
    sap: str
    edi: str
    bank: str
