"""Connectors of real systems stand the conformance suite against the systems themselves."""

from __future__ import annotations

import pytest

from controlplane.connectors.conformance.report import Verdict
from controlplane.connectors.conformance.suite import bench_of, run
from tests.integration.real.systems import Server, Shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def stands(name: str) -> None:
    report = run(name, bench_of(name)())
    failed = [f"{one.check}: {one.detail}" for one in report.findings if one.verdict is Verdict.FAILED]
    assert report.passed, "\n".join(failed)


def test_tryton_stands_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_TRYTON_URL", server.url)
    monkeypatch.setenv("TRUEUP_TRYTON_PASSWORD", server.password)
    stands("tryton")


def test_vendure_stands_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_VENDURE_URL", shop.url)
    monkeypatch.setenv("TRUEUP_VENDURE_PASSWORD", shop.password)
    stands("vendure")
