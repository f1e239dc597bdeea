"""The secrets that the plane's connectors need, one file each, readable by the owner only."""

import os
import secrets
from pathlib import Path

NAMES = (
    "erp_consumer_key",
    "erp_consumer_secret",
    "erp_token_id",
    "erp_token_secret",
    "wms_refresh_token",
    "wms_webhook_secret",
    "shop_access_token",
    "shop_webhook_secret",
    "pager_token",
)


class Secrets:
    """A folder of secrets; what is absent is made up at the first start and stays."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in NAMES:
            self._ensure(folder / name)
        self._known = {name: (folder / name).read_text(encoding="ascii").strip() for name in NAMES}

    def read(self, name: str) -> str:
        """The secret of that name."""
        return self._known[name]

    @staticmethod
    def _ensure(path: Path) -> None:
        if path.exists():
            return
        # written aside and renamed: a kill in between must not leave an empty secret
        aside = path.with_suffix(".new")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(24))
        aside.rename(path)
