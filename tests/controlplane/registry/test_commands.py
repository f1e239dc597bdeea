"""`trueup policy`: on files, and against a plane that answers over HTTP."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from controlplane.errors import BadInputError, ForbiddenError, NotFoundError, PolicyError, UnavailableError
from controlplane.registry.commands import app
from controlplane.registry.packs import check, pack_folder
from rules.policy.reading import read_policies
from rules.policy.writing import to_yaml

TOKEN = "tru_a_token"
BROKEN = "apiVersion: trueup/v1\nkind: RetryPolicy\nmetadata: {name: r}\nspec:\n  cap: 1s\n  first: 2s\n"


def run(*arguments: str) -> tuple[int, str]:
    """Run the command; what it refuses is raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return result.exit_code, result.stdout


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file with one problem in line 5."""
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    return path


def test_a_shipped_pack_is_valid() -> None:
    code, output = run("validate", "--pack", "sandbox")
    assert (code, "no problem" in output) == (0, True)


def test_a_problem_is_told_by_file_and_line_and_exit_code_1(broken: Path) -> None:
    code, output = run("validate", str(broken))
    assert code == 1
    assert output.startswith(
        f"{broken}:5:3: RetryPolicy/r spec.cap: the cap 1s is shorter than the first delay 2s; write"
    )


def test_problems_are_told_in_json_too(broken: Path) -> None:
    code, output = run("validate", str(broken), "--json")
    answer = json.loads(output)
    assert (code, answer["documents"], answer["problems"][0]["line"]) == (1, 1, 5)


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"\xff\xfe\x00", "not UTF-8"), (None, "cannot be read: No such file"), (b"\x01: 1", "special characters")],
)
def test_a_file_that_cannot_be_read_is_a_problem_and_no_traceback(
    tmp_path: Path, content: bytes | None, rule: str
) -> None:
    path = tmp_path / "odd.yaml"
    if content is not None:
        path.write_bytes(content)
    code, output = run("validate", str(path))
    assert code == 1
    assert rule in output


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    code, output = run("validate", str(tmp_path))
    assert code == 1
    assert "no policy file is in the folder" in output


def test_an_unknown_pack_or_nothing_at_all_is_refused_with_the_remedy() -> None:
    with pytest.raises(NotFoundError, match=r"no pack 'nope'; give a folder, or one of: .*sandbox"):
        run("validate", "--pack", "nope")
    with pytest.raises(BadInputError, match="give files, folders, or --pack NAME"):
        run("validate")


def test_policies_of_a_pack_are_listed_by_kind() -> None:
    code, output = run("list", "--pack", "sandbox", "--kind", "flow", "--json")
    assert code == 0
    assert "orders" in [row["name"] for row in json.loads(output)]
    assert "stock-offers" in run("list", "--pack", "sandbox", "--kind", "flow")[1]
    with pytest.raises(NotFoundError, match="no kind 'flwo'; did you mean 'Flow'"):
        run("list", "--pack", "sandbox", "--kind", "flwo")


def test_a_list_that_goes_into_a_pipe_has_whole_columns_parted_by_tabs() -> None:
    _, output = run("list", "--pack", "sandbox")
    header, *rows = (line.split("\t") for line in output.splitlines())
    assert header == ["kind", "name", "owner", "title", "place"]
    assert all(len(row) == len(header) for row in rows)
    assert [
        "ServiceLevel",
        "stock-freshness",
        "integration-platform",
        "The shop shows fresh stock",
        "sandbox/promises.yaml:4",
    ] in rows


FAULTS = {
    "indicator": ("alerts.yaml", "indicator: queue_age", "indicator: nonsense", "unknown indicator 'nonsense'", "queue_age"),
    "option": ("systems.yaml", "realm:", "reelm:", "the connector 'netsuite' takes no option 'reelm'", "did you mean 'realm'?"),
    "secret": ("systems.yaml", "consumer_key:", "consumer_kee:", "takes no secret 'consumer_kee'", "did you mean 'consumer_key'?"),
    "read": ("flows.yaml", "read: items", "read: itemz", "cannot be polled for 'itemz'", "did you mean 'items'?"),
    "plugin": ("promises.yaml", "kind: inventory", "kind: inventoryy", "no comparison plugin 'inventoryy'", "'inventory'?"),
    "side": ("promises.yaml", "entity: inventory_balance", "entity: inventory_balanse", "has no snapshot of", "'inventory_balance'?"),
    "place": ("promises.yaml", "locations: [WH1]", "locations: [WHX]", "translates to 'WHX'", "did you mean 'WH1'?"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "right", "wrong", "rule", "remedy"), FAULTS.values(), ids=FAULTS.keys())
def test_a_slip_in_a_shipped_pack_is_told_by_file_and_line(
    tmp_path: Path, file: str, right: str, wrong: str, rule: str, remedy: str
) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(pack_folder("sandbox"), pack)
    text = (pack / file).read_text()
    (pack / file).write_text(text.replace(right, wrong, 1))
    line = text[: text.index(right)].count("\n") + 1
    code, output = run("validate", str(pack))
    assert code == 1
    told = [row for row in output.splitlines() if row.startswith(f"{pack / file}:{line}:")]
    assert any(rule in row and remedy in row for row in told), output


def test_a_faulty_document_brings_no_problem_of_those_that_name_it(tmp_path: Path) -> None:
    shutil.copytree(pack_folder("sandbox"), tmp_path / "pack")
    systems = tmp_path / "pack" / "systems.yaml"
    systems.write_text(systems.read_text().replace("  role: wms\n", "  roel: wms\n"))
    code, output = run("validate", str(tmp_path / "pack"))
    assert code == 1
    assert [row.split(": ")[1] for row in output.splitlines()] == ["System/wms spec.role", "System/wms spec.roel"]


def test_a_policy_of_a_pack_is_shown_with_its_place() -> None:
    _, output = run("show", "retry-policy", "stock", "--pack", "sandbox")
    assert output.startswith("# place: ")
    assert "retries.yaml:" in output.splitlines()[0]
    assert "first: 1s" in output
    with pytest.raises(NotFoundError, match="no RetryPolicy 'stok' in what was read; did you mean 'stock'"):
        run("show", "RetryPolicy", "stok", "--pack", "sandbox")
    with pytest.raises(NotFoundError):
        run("show", "RetryPolicy", "nope", "--pack", "sandbox")


def test_policies_with_problems_are_not_listed(broken: Path) -> None:
    with pytest.raises(PolicyError, match="the cap 1s is shorter"):
        run("list", str(broken))


def test_what_is_shown_reads_back_as_the_same_document() -> None:
    entries, _ = check([pack_folder("sandbox")])
    for entry in entries:
        shuffled = dict(reversed(entry.document.model_dump(mode="json").items()))
        (again,), problems = read_policies([("shown.yaml", to_yaml(shuffled))])
        assert problems == []
        assert again.document == entry.document


class Answers(BaseHTTPRequestHandler):
    """A plane's API, as far as the command asks it."""

    def do_GET(self) -> None:
        """Answer for the right token."""
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"detail": "who are you"})
        asked = urlsplit(self.path)
        if asked.path == "/api/v1/policies":
            return self.answer(200, {"policies": [{"kind": "Flow", "name": "orders", "revision": 3, "title": "[x]"}]})
        if asked.path == "/api/v1/policies/Flow/orders":
            document = {"kind": "Flow", "asked": asked.query}
            return self.answer(200, {"policy": {"revision": 3, "author": "ada", "document": document}, "history": []})
        return self.answer(404, {"detail": "there is no Flow 'nope'"})

    def answer(self, status: int, body: Any) -> None:
        """Send JSON."""
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plane that answers on a free port; gives the file with its token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    token = tmp_path / "cli-token"
    token.write_text(TOKEN + "\n")
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path))
    monkeypatch.setenv("TRUEUP_PORT", str(server.server_port))
    yield token
    server.shutdown()
    server.server_close()


def test_without_files_the_running_plane_is_asked(plane: Path) -> None:
    assert json.loads(run("list", "--json")[1])[0]["revision"] == 3
    assert "[x]" in run("list")[1]
    _, output = run("show", "flow", "orders", "--revision", "2")
    assert output.splitlines()[:2] == ["# revision: 3", "# author: ada"]
    assert "asked: revision=2" in output
    with pytest.raises(NotFoundError, match="there is no Flow 'nope'"):
        run("show", "flow", "nope")


def test_a_token_that_the_plane_does_not_take_is_said(plane: Path) -> None:
    plane.write_text("tru_old")
    with pytest.raises(ForbiddenError, match="does not take the token"):
        run("list")


def test_when_no_plane_runs_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path))
    monkeypatch.setenv("TRUEUP_PORT", "1")
    with pytest.raises(UnavailableError, match=r"cli-token is missing.*start one with `trueup up`"):
        run("list")
    (tmp_path / "cli-token").write_text(TOKEN)
    with pytest.raises(UnavailableError, match=r"no plane answers at http://127.0.0.1:1 .*--pack"):
        run("list")
