"""`trueup connector new`, `check` and `try`, run as people run them, against a system on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from controlplane.connectors.commands import app
from controlplane.errors import BadInputError
from tests.addresses import pairs_of
from tests.controlplane.connectors.declared.acme import Acme, manifest, order, row
from tests.controlplane.connectors.scripted import Asked, Reply, ScriptedServer

Begin = Callable[[Callable[[Asked], Reply]], ScriptedServer]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_what_is_begun_is_good_and_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    assert run("new", "acme-shop", "--kind", "rest", "--out", str(path)).exit_code == 0
    done = run("check", str(path))
    assert (done.exit_code, "acme-shop: good" in done.stdout) == (0, True), done.stdout
    assert "env:ACME_SHOP_TOKEN" in path.read_text()
    again = run("new", "acme-shop", "--kind", "rest", "--out", str(path))
    assert "is there already" in str(again.exception)


@pytest.mark.parametrize(("words", "told"), [
    (("new", "Acme Shop"), "is no name of a System"), (("new", "acme", "--kind", "telepathy"), "files, graphql, rest, soap, sql"),
    (("check", "no-such.yaml"), "cannot be read"),
])  # fmt: skip
def test_what_cannot_be_begun_or_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code != 0
    assert told in str(done.exception)
    assert list(tmp_path.iterdir()) == []


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LAUGHS, "anchors and aliases are not taken"),
        ("title: x\nreads: " + "[" * 3000 + "]" * 3000, "nested deeper than 40 levels"),
        ("title: a\ntitle: b\n", "the key 'title' is told twice"),
        ('title: !!python/object/apply:os.system ["true"]\n', "is not taken; take the tag out"),
    ],
    ids=["aliases", "depth", "twice", "tag"],
)
def test_a_text_that_is_more_than_it_looks_is_refused_at_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(text)
    done = run("check", str(path))
    assert done.exit_code != 0
    assert isinstance(done.exception, BadInputError)
    assert told in str(done.exception)


def test_a_bare_manifest_is_checked_with_path_rule_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(yaml.safe_dump(manifest(reads__0__identity="a..b")))
    done = run("check", str(path))
    assert done.exit_code == 1
    assert "acme: options.manifest.reads.0.identity: 'a..b' is no JMESPath expression" in done.stdout
    assert "; a constant text is written as {value: …}" in done.stdout
    path.write_text(yaml.safe_dump(manifest()))
    done = run("check", str(path))
    assert done.exit_code == 0
    assert "it writes shipment (keyed), available (conditional); secrets: token" in done.stdout
    assert "cannot be promised: writes available: after a lost answer only the value shown tells" in done.stdout


def system(tmp_path: Path, url: str, **changes: Any) -> str:
    """A file with one System."""
    spec = {
        "connector": "declared", "owner": "us", "role": "shop", "endpoint": url, "internal": list(pairs_of(url)),
        "secrets": {"token": "env:ACME_TOKEN"}, "options": {"manifest": manifest(**changes)},
    }  # fmt: skip
    path = tmp_path / "acme-policy.yaml"
    path.write_text(
        yaml.safe_dump({"apiVersion": "trueup/v1", "kind": "System", "metadata": {"name": "acme"}, "spec": spec})
    )
    return str(path)


@pytest.fixture
def vendor(scripted: Begin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Acme, ScriptedServer]:
    monkeypatch.setenv("ACME_TOKEN", "the-token-of-acme")
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    acme = Acme()
    return acme, scripted(acme)


def test_the_first_page_is_read_live_and_shown_beside_what_is_understood(
    tmp_path: Path, vendor: tuple[Acme, ScriptedServer]
) -> None:
    acme, server = vendor
    acme.orders = [order("O-1", email="anna@example.org")]
    done = run("try", system(tmp_path, server.url))
    assert done.exit_code == 0, done.stdout
    assert "ping: it answers" in done.stdout
    assert "stock: 2 records on the first page" in done.stdout
    assert '"article": "A1"' in done.stdout
    assert "canonical  stock.level A1@WH1" in done.stdout
    assert "level      A1@WH1 on hand 11, available 1, at 2026-11-27 05:00:00+00:00" in done.stdout
    assert "canonical  order.placed O-1" in done.stdout
    assert "cannot be promised: writes available" in done.stdout
    assert "anna@example.org" not in done.stdout
    assert {one.method for one in server.asked} == {"GET"}, "nothing is written"
    assert "the-token-of-acme" not in done.stdout


def test_what_is_not_understood_is_shown_and_ends_with_1(tmp_path: Path, vendor: tuple[Acme, ScriptedServer]) -> None:
    acme, server = vendor
    acme.rows[0] = row(1, count="many")
    acme.orders = [order("O-1", "PARKED")]
    done = run("try", system(tmp_path, server.url), "--rows", "1")
    assert done.exit_code == 1
    assert "refused    on_hand: 'many' cannot be read as integer" in done.stdout
    assert "refused    the status 'PARKED' is neither told nor ignored" in done.stdout
    done = run("try", system(tmp_path, server.url, reads__0__since__field="modified"), "--entity", "stock")
    assert done.exit_code == 1
    assert "2 of 2 records give no time of change where 'modified' looks for it" in done.stdout


def test_a_system_that_does_not_let_us_in_is_told(
    tmp_path: Path, vendor: tuple[Acme, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_TOKEN", "another-token-of-acme")
    done = run("try", system(tmp_path, vendor[1].url))
    assert done.exit_code == 1
    assert "ping: acme answered 401" in done.stdout
    assert "check the secrets" in done.stdout
    assert "another-token-of-acme" not in done.stdout


def test_what_is_not_there_to_try_is_named(tmp_path: Path, vendor: tuple[Acme, ScriptedServer]) -> None:
    path = system(tmp_path, vendor[1].url)
    assert "it reads: stock, orders" in str(run("try", path, "--entity", "prices").exception)
    assert "name one System" in str(run("try", path, "--system", "other").exception)
    broken = system(tmp_path, vendor[1].url, reads__0__identity="a..b")
    assert "is no JMESPath expression" in str(run("try", broken).exception)


def test_the_form_is_printed_as_json_schema() -> None:
    form = json.loads(run("schema").stdout)
    assert {"title", "access", "reads", "writes"} <= set(form["$defs"]["Document"]["properties"])
