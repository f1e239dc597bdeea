"""Avalara on trial, against a simulated account. It has no polls, snapshots and writes: what is left is the way there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from controlplane.connectors.builtin.avalara.connector import AvalaraConnector
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.single import Single
from controlplane.connectors.contract import Connector

SECRETS = {"account_id": "1100012345", "license_key": "A1B2C3D4E5F6A7B8"}


class AvalaraBench(Bench):
    """An account with the general tax code."""

    connector: ClassVar[type[Connector]] = AvalaraConnector
    against = "a simulated account"

    def start(self, folder: Path) -> Place:
        """Start an account."""
        self.account = Single("avalara", folder)
        return Place(self.account.url, SECRETS, {"tax_codes": ["P0000000"]})

    def stop(self) -> None:
        """Stop it."""
        self.account.stop()
