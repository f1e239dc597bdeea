"""The console command: help is instant, and what is wrong with a setting is said by the variable's name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

HEAVY = ("dash", "sqlalchemy", "duckdb", "pandas", "flask", "httpx", "pyarrow", "celery")
COMMANDS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "entry-points"
]["trueup.commands"]
MAIN = "from controlplane.cli import main; main()"
LOADED = (
    f"import atexit, json, sys; atexit.register(lambda: print(json.dumps([m for m in {HEAVY} if m in sys.modules])))"
)


def run(*arguments: str, code: str = MAIN, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the console command in a process of its own, with no settings but the given ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=inherited | environment, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that something listens on until the test ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield int(listener.getsockname()[1])
    listener.close()


def test_help_lists_the_commands_and_imports_none_of_them() -> None:
    answer = run("--help", code=f"{LOADED}; {MAIN}")
    text, loaded = answer.stdout.rsplit("\n", 2)[0], json.loads(answer.stdout.splitlines()[-1])
    assert answer.returncode == 0, answer.stderr
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert loaded == []


def test_every_command_we_ship_has_a_line_in_the_help() -> None:
    assert "(from another package)" not in run("--help").stdout


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout.split()[-1] == version("trueup")


def test_the_help_of_one_command_does_not_start_it(tmp_path: Path) -> None:
    answer = run("up", "--help", TRUEUP_HOME=str(tmp_path / "home"))
    assert answer.returncode == 0
    assert "--no-sandbox" in answer.stdout
    assert not (tmp_path / "home").exists()


def test_an_unknown_command_is_named_and_refused() -> None:
    answer = run("trueup-nothing")
    assert answer.returncode == 2
    assert "No such command 'trueup-nothing'" in answer.stderr
    assert "Traceback" not in answer.stderr


WRONG = [
    ("TRUEUP_PORT", "0", "1 to 65535"),
    ("TRUEUP_PORT", "70000", "1 to 65535"),
    ("TRUEUP_PORT", "eighty", "1 to 65535"),
    ("TRUEUP_HOST", "", "host name or an address"),
    ("TRUEUP_DATABASE_URL", "not an address", "SQLAlchemy address"),
    ("TRUEUP_DATABASE_URL", "mysql://root:hunter2hunter2@127.0.0.1/x", "only sqlite and postgresql"),
    ("TRUEUP_DATABASE_URL", "sqlite://", "keeps nothing"),
    ("TRUEUP_HOME", "", "give a folder"),
    ("TRUEUP_SANDBOX_PORT", "8700", "a port of its own"),
    ("TRUEUP_ENGINE", "spark", "'embedded' or 'celery'"),
    ("TRUEUP_ENGINE", "celery", "needs PostgreSQL"),
    ("TRUEUP_ADMIN_PASSWORD", "hunter2", "at least 10 characters"),
    ("TRUEUP_SANDBOX_PORT", "-1", "TRUEUP_SANDBOX_PORT"),
    ("TRUEUP_SANDBOX_RATE", "0", "above 0"),
]


@pytest.mark.parametrize(("variable", "value", "remedy"), WRONG)
def test_a_wrong_setting_is_named_with_its_remedy_and_nothing_is_started(
    variable: str, value: str, remedy: str, tmp_path: Path
) -> None:
    answer = run("up", "--no-sandbox", **{"TRUEUP_HOME": str(tmp_path / "home"), variable: value})
    assert answer.returncode == 2
    assert variable in answer.stderr
    assert remedy in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "hunter2" not in answer.stderr, "a secret was printed"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "address", ["postgresql+psycopg://a:hunter2hunter2@127.0.0.1:1/d", "sqlite:////proc/nope/x.db"]
)
def test_a_database_that_cannot_be_used_is_said_without_its_address(address: str, tmp_path: Path) -> None:
    answer = run("up", "--no-sandbox", TRUEUP_HOME=str(tmp_path), TRUEUP_DATABASE_URL=address)
    assert answer.returncode == 2
    assert "TRUEUP_DATABASE_URL: the database cannot be used" in answer.stderr
    assert "hunter2" not in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("arguments", [["up", "--nonsense"], ["up", "extra"], ["worker", "--concurrency", "many"]])
def test_a_wrong_argument_is_said_with_the_commands_usage(arguments: list[str]) -> None:
    answer = run(*arguments)
    assert answer.returncode == 2
    assert f"Usage: trueup {arguments[0]}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_two_wrong_settings_are_both_named() -> None:
    answer = run("up", TRUEUP_PORT="0", TRUEUP_ENGINE="spark")
    assert "TRUEUP_PORT" in answer.stderr
    assert "TRUEUP_ENGINE" in answer.stderr


def test_a_taken_port_is_said_by_its_variable(taken_port: int, tmp_path: Path) -> None:
    answer = run("up", "--no-sandbox", TRUEUP_HOME=str(tmp_path), TRUEUP_PORT=str(taken_port))
    assert answer.returncode == 2
    assert f"TRUEUP_PORT={taken_port}: cannot listen on 127.0.0.1:{taken_port}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_host_that_is_not_this_machine_is_said(tmp_path: Path) -> None:
    answer = run("up", "--no-sandbox", TRUEUP_HOME=str(tmp_path), TRUEUP_HOST="192.0.2.1")
    assert answer.returncode == 2
    assert "TRUEUP_HOST" in answer.stderr


def test_a_home_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder", encoding="utf-8")
    answer = run("up", "--no-sandbox", TRUEUP_HOME=str(file / "home"))
    assert answer.returncode == 2
    assert f"TRUEUP_HOME={file / 'home'}" in answer.stderr
    assert "folder that can be written to" in answer.stderr


def test_a_worker_refuses_sqlite_which_belongs_to_one_process() -> None:
    answer = run("worker")
    assert answer.returncode == 2
    assert "TRUEUP_DATABASE_URL is SQLite" in answer.stderr
