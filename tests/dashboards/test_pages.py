"""Every page is drawn for who is signed in, asks no other host for anything, and refuses deeds without the right."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

import dashboards
from tests.dashboards.conftest import Site
from tests.web import signed_in

FILES = [path for path in Path(dashboards.__file__).parent.rglob("*") if path.suffix in {".css", ".js", ".py"}]


def draw(client: httpx.Client, path: str) -> str:
    """Ask the router for a page, as the browser does."""
    body = {
        "output": "..page.children...{\"path\":[\"ALL\"],\"type\":\"nav\"}.className..",
        "outputs": [{"id": "page", "property": "children"}, []],
        "inputs": [{"id": "url", "property": "pathname", "value": path.split("?")[0]},
                   {"id": "url", "property": "search", "value": "?" + path.partition("?")[2]}],
        "state": [[]],
        "changedPropIds": ["url.pathname"],
    }  # fmt: skip
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_a_foreign_host(path: Path) -> None:
    hosts = set(re.findall(r"https?://([\w.-]+)", path.read_text(encoding="utf-8")))
    assert hosts <= {"www.w3.org"}, "a page asks another host; bring the file along instead"


def test_the_frame_is_only_for_who_is_signed_in(site: Site) -> None:
    for path in ("/_dash-layout", "/_dash-dependencies"):
        assert httpx.get(site.url + path, trust_env=False).status_code == 401
    page = httpx.get(site.url + "/findings", headers={"Accept": "text/html"}, trust_env=False)
    assert (page.status_code, page.headers["location"]) == (302, "/login?next=/findings")


def test_every_page_is_drawn(site: Site) -> None:
    client = signed_in(site.url, "olga")
    paths = ["/", "/flows/orders", f"/messages/{site.ids['message']}", "/findings", f"/findings/{site.ids['finding']}",
             f"/quarantine?case={site.ids['case']}", "/policies?kind=RetryPolicy&name=default",
             f"/incidents?incident={site.ids['incident']}", "/comparisons"]  # fmt: skip
    for path in paths:
        drawn = draw(client, path)
        assert "Cannot be shown" not in drawn, path
        assert "Not here" not in drawn, path


def test_a_fresh_plane_has_every_list_page_too(fresh: Site) -> None:
    client = signed_in(fresh.url, "vic")
    for path in ("/", "/flows/orders", "/findings", "/quarantine", "/policies", "/incidents", "/comparisons"):
        assert "Cannot be shown" not in draw(client, path), path


def test_a_page_that_is_not_there_says_so(site: Site) -> None:
    assert "no flow 'nothing'" in draw(signed_in(site.url, "vic"), "/flows/nothing")


def test_a_personal_field_is_masked_on_the_message_page(site: Site) -> None:
    drawn = draw(signed_in(site.url, "vic"), f"/messages/{site.ids['message']}")
    assert "somebody@example.org" not in drawn
    assert "[hidden]" in drawn


def test_a_button_sent_by_hand_without_the_right_is_refused(site: Site) -> None:
    client = signed_in(site.url, "vic")
    asked = client.get("/_dash-dependencies").json()
    deeds = next(one for one in asked if any(each["id"] == "case-drop" for each in one["inputs"]))
    output = deeds["output"]
    body = {
        "output": output,
        "outputs": [{"id": each.rpartition(".")[0], "property": each.rpartition(".")[2]}
                    for each in output.strip(".").split("...")],
        "inputs": [{**each, "value": 1 if each["id"] == "case-drop" else None} for each in deeds["inputs"]],
        "state": [{"id": "case-id", "property": "data", "value": site.ids["case"]},
                  {"id": "case-record", "property": "value", "value": "{}"},
                  {"id": "case-reason", "property": "value", "value": "because"}],
        "changedPropIds": ["case-drop.n_clicks"],
    }  # fmt: skip
    answer = client.post("/_dash-update-component", json=body)
    assert "quarantine.drop" in answer.text
    assert client.get(f"/api/v1/quarantine/{site.ids['case']}").json()["state"] == "waiting"
