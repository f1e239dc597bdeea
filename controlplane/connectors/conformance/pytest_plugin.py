"""The suite as tests of an author's own: one test for each check, the system started once a module.

    pytest_plugins = ["controlplane.connectors.conformance.pytest_plugin"]
    CONFORMANCE = "acme_shop"  # whose bench is registered; or the bench: CONFORMANCE = AcmeBench

    def test_conformance(conformance: Callable[[], None]) -> None:
        conformance()

What does not apply is skipped, with its reason. It is not loaded by itself: whoever does not name it notices nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from controlplane.connectors.conformance.report import NotApplicable, Verdict
from controlplane.connectors.conformance.stand import Stand
from controlplane.connectors.conformance.suite import CHECKS, Check, bench_of, examine, standing

NAME = "CONFORMANCE"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each check."""
    if "conformance" in metafunc.fixturenames:
        metafunc.parametrize("conformance_check", CHECKS, ids=lambda check: check.name)


@pytest.fixture(scope="module")
def conformance_stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """Start the bench that the module names; what is missing for it skips the module's tests."""
    told = getattr(request.module, NAME, None)
    if told is None:
        pytest.fail(f"say which connector is on trial: {NAME} = 'its name', or {NAME} = YourBench")
    bench = bench_of(told) if isinstance(told, str) else told
    try:
        with standing(told if isinstance(told, str) else bench.connector.manifest.name, bench()) as stand:
            yield stand
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def conformance(conformance_check: Check, conformance_stand: Stand) -> Callable[[], None]:
    """Return what makes the check of this test."""

    def run() -> None:
        finding = examine(conformance_check, conformance_stand)
        if finding.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(finding.detail)
        assert finding.verdict is Verdict.PASSED, f"{finding.title}\n{finding.detail}"  # noqa: S101  # it is a test

    return run
