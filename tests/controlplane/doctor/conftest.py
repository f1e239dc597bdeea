"""An installation as `trueup up` leaves it, and the doctor looking at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from controlplane.clock import Clock, ManualClock
from controlplane.doctor.answers import Answer
from controlplane.doctor.examine import examine
from controlplane.doctor.subject import Subject
from controlplane.registry.packs import install
from controlplane.settings import Settings
from controlplane.store import Store, open_store
from tests.controlplane.connectors.conftest import bad_server
from tests.controlplane.doctor.servers import free_port
from tests.controlplane.health.kit import sandbox_pack

__all__ = ["bad_server"]
Look = Callable[..., list[Answer]]
SECRETS = (
    "erp_consumer_key", "erp_consumer_secret", "erp_token_id", "erp_token_secret", "wms_refresh_token", "wms_webhook_secret",
    "shop_access_token", "shop_webhook_secret", "pager_token",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with the secrets that the shipped pack refers to; nobody else may enter it."""
    folder = tmp_path / "home"
    (folder / "sandbox" / "secrets").mkdir(parents=True)
    (folder / "sandbox" / "tills").mkdir()
    folder.chmod(0o700)
    for name in SECRETS:
        path = folder / "sandbox" / "secrets" / name
        path.write_text("a secret of eight words or so", encoding="ascii")
        path.chmod(0o600)
    return folder


@pytest.fixture
def empty_store(home: Path, sqlite_template: Path) -> Iterator[Store]:
    """The store of the home folder with all tables and no policies."""
    shutil.copy(sqlite_template, home / "plane.sqlite")
    store = open_store(f"sqlite:///{home / 'plane.sqlite'}")
    yield store
    store.close()


@pytest.fixture
def store(empty_store: Store, clock: ManualClock) -> Store:
    """The store of the home folder with the shipped pack in force."""
    install(empty_store, clock, sandbox_pack(), "sandbox")
    return empty_store


@pytest.fixture
def look(home: Path, clock: ManualClock) -> Look:
    """`look(**settings)`: what the doctor answers about the home folder; nothing listens at the plane's port unless the test says so."""

    def answers(
        *,
        offline: bool = True,
        seconds: float = 5.0,
        clock: Clock = clock,
        environment: Mapping[str, str] = {},
        **given: object,
    ) -> list[Answer]:
        settings = Settings(
            **{"home": home, "port": free_port(), "sandbox_port": 0, "database_url": "", "engine": "embedded"} | given
        )  # type: ignore[arg-type]
        subject = Subject(settings, clock, environment=environment, offline=offline, seconds=seconds)
        try:
            return list(examine(subject))
        finally:
            subject.close()

    return answers


def of(answers: list[Answer], check: str, about: str | None = None) -> list[tuple[str, str]]:
    """Return (status, detail and remedy) of a check's answers."""
    return [
        (answer.status.value, f"{answer.detail} -> {answer.remedy}")
        for answer in answers
        if answer.check == check and about in (None, answer.about)
    ]


def the(answers: list[Answer], check: str, about: str | None = None) -> tuple[str, str]:
    """Return the one answer of a check."""
    [found] = of(answers, check, about)
    return found
