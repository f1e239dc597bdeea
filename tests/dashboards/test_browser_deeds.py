"""What people do at the pages: correct and replay a record, change a promise between two."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from controlplane.access import Actor, create_account, disable_account
from controlplane.registry.changes import Changes
from dashboards.app import mount
from tests.dashboards.chromium import MARKS, sign_in, visit
from tests.dashboards.conftest import Site
from tests.web import PASSWORD, PEOPLE, a_plane, served

pytestmark = MARKS
ROW = "ST1;ST1-000077;1;{};1;9,90"


@pytest.fixture
def olga(site: Site, browser: Browser) -> Iterator[Page]:
    """The operator, signed in."""
    with visit(browser) as page:
        sign_in(page, site.url)
        expect(page.locator(".tu-who")).to_have_text("olga")
        yield page


def test_a_case_opens_by_the_keyboard_and_by_its_address(site: Site, olga: Page) -> None:
    olga.get_by_role("link", name="Quarantine", exact=True).click()
    expect(olga.locator("#quarantine-grid")).to_contain_text("sales_ST1_77.csv, line 2")
    olga.locator("#quarantine-grid .ag-header-cell").first.focus()
    olga.keyboard.press("ArrowDown")
    olga.keyboard.press("Enter")
    expect(olga.get_by_role("heading", name="sales_ST1_77.csv, line 2")).to_be_visible()
    assert olga.url == f"{site.url}/quarantine?case={site.ids['case']}"
    olga.reload()
    expect(olga.get_by_role("heading", name="sales_ST1_77.csv, line 2")).to_be_visible()


def test_a_till_row_is_corrected_looked_at_and_replayed(site: Site, olga: Page) -> None:
    olga.goto(f"{site.url}/quarantine?case={site.ids['case']}")
    record = olga.get_by_label("Record")
    original = record.input_value()
    record.fill(original[:-3])
    olga.get_by_role("button", name="Save the correction").click()
    expect(olga.locator(".mantine-Textarea-error")).to_contain_text("the record is no JSON")
    record.fill(original.replace(ROW.format(999999), ROW.format(999998)))
    olga.get_by_role("button", name="What would a replay do?").click()
    expect(olga.locator(".mantine-Textarea-error")).to_contain_text("tills calls a sku '999998'")
    record.fill(original.replace(ROW.format(999999), ROW.format(900001)))
    olga.get_by_role("button", name="What would a replay do?").click()
    expect(olga.locator("#case-answer")).to_contain_text('"sku": "0001-WHT-L"')
    olga.get_by_role("button", name="Replay", exact=True).click()
    expect(olga.locator("#case-answer")).to_contain_text("On its way again")
    expect(olga.locator("#quarantine-grid")).to_contain_text("Nothing waits for a person.")
    olga.get_by_role("link", name="See what becomes of it").click()
    expect(olga.get_by_text("understood as sale.recorded about ST1/ST1-000077/1")).to_be_visible()


def propose(page: Page, site: Site, name: str, budget: str) -> None:
    """Ask for another budget of the retry policy, and open the request."""
    sign_in(page, site.url, name)
    expect(page.locator(".tu-who")).to_have_text(name)
    page.goto(f"{site.url}/policies?kind=RetryPolicy&name=default")
    document = page.get_by_label("Document")
    document.fill(document.input_value().replace("budget: 1d", f"budget: {budget}"))
    page.get_by_label("Title").fill(f"Try for {budget}")
    page.get_by_role("button", name="Propose and ask for review").click()
    page.get_by_role("link", name="Open the change request").click()
    expect(page.get_by_role("heading", name=f"Try for {budget}")).to_be_visible()


def test_a_promise_is_proposed_by_one_approved_by_two_and_put_in_force(site: Site, browser: Browser) -> None:
    with visit(browser) as ada, visit(browser) as wim, visit(browser, "dark") as ben:
        propose(ada, site, "ada", "2d")
        expect(ada.get_by_role("button", name="Approve")).to_be_disabled()
        expect(ada.get_by_role("heading", name="What it would have done")).to_be_visible()
        first = Changes(site.plane.registry).list()[0].id
        ada.get_by_role("button", name="Simulate").click()
        expect(ada.locator("#request-answer")).to_contain_text("Simulated; an approval rests on this result")
        sign_in(wim, site.url, "wim")
        wim.goto(ada.url)
        wim.get_by_role("button", name="Approve").click()
        expect(wim.locator("#request-answer")).to_contain_text("there is missing 1 approval more")
        sign_in(ben, site.url, "ben")
        ben.get_by_role("link", name="Policies").click()
        ben.locator("#requests-grid [row-index='0'] [col-id=title]").click()
        expect(ben.locator("#request-one")).to_contain_text("+  budget: 2d")
        ben.get_by_role("button", name="Approve").click()
        expect(ben.locator("#request-one")).to_contain_text("ben: approve")
        [*_, voted] = Changes(site.plane.registry).get(first).votes
        assert voted.simulation is not None, "an approval names the simulation that it rests on"
        ben.get_by_role("button", name="Apply").click()
        expect(ben.locator("#request-answer")).to_contain_text("In force from now on")
        ben.goto(f"{site.url}/policies?kind=RetryPolicy&name=default")
        expect(ben.locator("#policy-one")).to_contain_text("revision 2")
        expect(ben.locator("#policy-one")).to_contain_text("change_request/")
    assert str(site.plane.registry.snapshot().retry_policies["default"].spec.budget) == "2 days, 0:00:00"


def test_who_wrote_a_change_cannot_approve_it_in_any_role(fresh: Site, browser: Browser) -> None:
    create_account(fresh.plane.store, fresh.plane.clock, "eve", PASSWORD, ("editor", "approver"), actor="test")
    with visit(browser) as eve:
        propose(eve, fresh, "eve", "3d")
        expect(eve.get_by_role("button", name="Approve")).to_be_disabled()
        expect(eve.locator("#request-one")).to_contain_text("you cannot approve or reject it, whatever your roles")
        eve.get_by_role("button", name="Withdraw").click()
        expect(eve.locator("#request-answer")).to_contain_text("Withdrawn.")


def test_the_page_says_what_is_owed_a_review_and_that_there_is_one_person_only(
    tmp_path: Path, browser: Browser
) -> None:
    with a_plane(tmp_path) as plane, served(plane, [mount]) as url, visit(browser) as ben:
        changes, ada = Changes(plane.registry), Actor("ada", frozenset({"editor"}))
        document = plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
        document["spec"]["budget"] = "2d"
        made = changes.open("RetryPolicy", "default", document, "Longer", "", ada)
        changes.break_glass(made.id, timedelta(hours=1), "the ERP is down", ada)
        sign_in(ben, url, "ben")
        ben.goto(f"{url}/policies?request={made.id}")
        expect(ben.locator("#requests-grid")).to_contain_text("review owed")
        ben.get_by_label("Comment").fill("it was right")
        ben.get_by_role("button", name="Review").click()
        expect(ben.locator("#request-one")).to_contain_text("reviewed by ben")
        expect(ben.get_by_text("This installation has one person only")).to_have_count(0)
        for name in PEOPLE:
            if name != "ben":
                disable_account(plane.store, plane.clock, name, actor="test")
        ben.reload()
        expect(ben.get_by_text("This installation has one person only")).to_be_visible()


def test_a_document_that_is_no_policy_is_refused_beside_the_field(fresh: Site, browser: Browser) -> None:
    with visit(browser) as ada:
        sign_in(ada, fresh.url, "ada")
        expect(ada.locator(".tu-who")).to_have_text("ada")
        ada.goto(f"{fresh.url}/policies?kind=RetryPolicy&name=default")
        document = ada.get_by_label("Document")
        document.fill(document.input_value().replace("budget: 1d", "budget: never"))
        ada.get_by_role("button", name="Propose and ask for review").click()
        expect(ada.locator(".mantine-TextInput-error")).to_have_text("Say in a line what changes.")
        ada.get_by_label("Title").fill("Try for ever")
        ada.get_by_role("button", name="Propose and ask for review").click()
        expect(ada.locator(".mantine-Textarea-error")).to_contain_text("'never' is not a duration")
