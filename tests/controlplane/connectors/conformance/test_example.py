"""A connector of somebody else's: installed from its own package, found by its entry points, and on trial, as its author would do it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controlplane.connectors.conformance.acme import EXAMPLE

TRUEUP = [sys.executable, "-c", "from controlplane.cli import main; main()"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as pip puts it there; nothing is taken from the network."""
    folder = tmp_path_factory.mktemp("installed")
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
            "--no-build-isolation", "--target", str(folder), str(EXAMPLE),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def asked(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the package on the path."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=installed)


def test_the_list_has_it_beside_ours_and_it_shows_what_it_declares(installed: Path) -> None:
    listed = json.loads(asked(installed, *TRUEUP, "connector", "list", "--json").stdout)
    found = {row["name"]: row for row in listed}
    assert {"acme_shop", "shopify"} <= set(found)
    assert found["acme_shop"]["writes"] == {"level": "conditional", "fulfilment": "keyed"}
    shown = json.loads(asked(installed, *TRUEUP, "connector", "show", "acme_shop").stdout)
    assert shown["config"]["properties"] == {"location": {"type": "string", "default": "SHOP"}}
    assert shown["credentials"]["required"] == ["token"]
    assert shown["statuses"]["order"]["void"] == "of no interest"


def test_it_stands_the_conformance_suite_by_its_own_bench(installed: Path) -> None:
    done = asked(installed, *TRUEUP, "connector", "conformance", "acme_shop", "--only", "writes", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["passed"]) == (0, True), done.stdout
    assert {check["verdict"] for check in report["checks"]} == {"passed"}


def test_its_author_has_the_suite_as_tests(installed: Path) -> None:
    """Quick checks only: the example's whole suite is run by the tests of the suite."""
    pytest_of_theirs = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-rs"]
    chosen = ["-k", "paging or webhooks or queue", "--rootdir", str(EXAMPLE), str(EXAMPLE / "tests")]
    done = asked(installed, *pytest_of_theirs, *chosen)
    assert done.returncode == 0, done.stdout
    assert "8 passed, 1 skipped" in done.stdout
    assert "the connector takes nothing off a queue" in done.stdout


def test_a_table_in_our_docs_does_not_name_it(installed: Path) -> None:
    assert "acme_shop" not in asked(installed, *TRUEUP, "connector", "list", "--markdown").stdout
