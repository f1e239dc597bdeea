"""The systems: a running one that the environment names, or one brought up for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.real.bringing_up import brought_up
from tests.integration.real.systems import Mocks, Server, Shop

MOCKS = ("STRIPE_PORT", "SAP_PORT", "EDI_PORT", "BANK_PORT")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tryton: TRUEUP_TRYTON_URL (user admin, TRUEUP_TRYTON_PASSWORD, database retail), or brought up."""
    password = os.environ.get("TRUEUP_TRYTON_PASSWORD", "tryton-demo")
    if given := os.environ.get("TRUEUP_TRYTON_URL"):
        yield Server(given, password)
        return
    work = tmp_path_factory.mktemp("tryton")
    with brought_up("tryton_up.sh", work, ("TRYTON_PORT",), TRYTON_PASSWORD=password) as ports:
        yield Server(f"http://127.0.0.1:{ports['TRYTON_PORT']}", password)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Vendure: TRUEUP_VENDURE_URL (user superadmin, TRUEUP_VENDURE_PASSWORD), or brought up."""
    password = os.environ.get("TRUEUP_VENDURE_PASSWORD", "vendure-demo")
    if given := os.environ.get("TRUEUP_VENDURE_URL"):
        yield Shop(given, password)
        return
    work = tmp_path_factory.mktemp("vendure")
    with brought_up("vendure_up.sh", work, ("VENDURE_PORT",), VENDURE_PASSWORD=password) as ports:
        yield Shop(f"http://127.0.0.1:{ports['VENDURE_PORT']}", password)


@pytest.fixture(scope="session")
def mocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mocks]:
    """Independent stand-ins of Stripe, SAP, an EDI partner and a bank; `folder` holds their programs."""
    work = tmp_path_factory.mktemp("mocks")
    with brought_up("third_party_mocks_up.sh", work, MOCKS) as ports:
        stripe, sap, edi, bank = (f"http://127.0.0.1:{ports[name]}" for name in MOCKS)
        yield Mocks(work, stripe, sap, edi, bank)
