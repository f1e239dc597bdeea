"""`trueup doctor` as it is called: its exit codes, its two forms of output, and a whole plane that is well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from controlplane.store import Store
from tests.controlplane.doctor.servers import end, free_port, until

MAIN = [sys.executable, "-c", "from controlplane.cli import main; main()"]


def environment(**given: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TRUEUP_")} | given


def doctor(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MAIN, "doctor", *arguments], env=environment(**given), capture_output=True, text=True, check=False, timeout=60
    )


def test_warnings_alone_are_exit_code_0_and_a_row_is_a_line_in_a_pipe(tmp_path: Path) -> None:
    answer = doctor(TRUEUP_HOME=str(tmp_path / "home"), TRUEUP_PORT=str(free_port()))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    rows = [line.split("\t") for line in answer.stdout.splitlines()]
    assert {len(row) for row in rows} == {4}
    assert ["warning", "home"] in [row[:2] for row in rows]
    assert answer.stderr == "0 wrong, 5 warnings, 3 ok\n"


def test_something_wrong_is_exit_code_1(home: Path, store: Store) -> None:
    (home / "sandbox" / "secrets" / "erp_token_id").unlink()
    answer = doctor("--offline", TRUEUP_HOME=str(home), TRUEUP_PORT=str(free_port()))
    assert answer.returncode == 1
    assert "wrong\tsecrets (erp)\t" in answer.stdout


def test_a_wrong_setting_is_exit_code_2_and_still_an_answer(tmp_path: Path) -> None:
    answer = doctor("--json", TRUEUP_HOME=str(tmp_path), TRUEUP_PORT="0", TRUEUP_ADMIN_PASSWORD="hunter2")
    assert answer.returncode == 2
    told = json.loads(answer.stdout)
    assert told["status"] == "wrong"
    assert [check["check"] for check in told["checks"]] == ["settings", "settings"]
    assert told["checks"][0]["detail"].startswith("TRUEUP_PORT='0'")
    assert told["checks"][0]["remedy"] == "give a whole number from 1 to 65535"
    assert "hunter2" not in answer.stdout


def test_a_plane_in_order_is_well_and_is_left_as_it_is(tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    given = {"TRUEUP_HOME": str(home), "TRUEUP_PORT": str(port), "TRUEUP_SANDBOX_PORT": str(free_port())}
    given["TRUEUP_AUDIT_ANCHORS"] = str(tmp_path / "elsewhere")
    plane = subprocess.Popen([*MAIN, "up"], env=environment(**given), stdout=subprocess.DEVNULL)
    try:
        until(plane, lambda: ready(port))
        answer = doctor("--json", "--seconds", "20", **given)
    finally:
        end(plane)
    told = json.loads(answer.stdout)
    assert (answer.returncode, [check for check in told["checks"] if check["status"] != "ok"]) == (0, [])
    assert {check["about"] for check in told["checks"] if check["check"] == "endpoints"} == {
        "erp",
        "wms",
        "shop",
        "tills",
        "pager",
    }
    assert not list(home.glob("plane.sqlite-*")), "the plane was the last to close the database"


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
