"""A person's way through the pages in a real browser: sign-in, overview, flow, message, finding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboards.chromium import MARKS, sign_in, visit
from tests.dashboards.conftest import Site

pytestmark = MARKS


@pytest.fixture(params=[("light", 1440), ("dark", 390)], ids=["light-wide", "dark-narrow"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A visit on a wide screen by day, and one on a telephone by night."""
    with visit(browser, *request.param) as found:
        yield found


def test_from_sign_in_to_the_evidence(site: Site, page: Page) -> None:
    sign_in(page, site.url)
    expect(page.get_by_text("Not now")).to_be_visible(timeout=15_000)
    expect(page.locator("#overview-matrix")).to_contain_text("1 late")
    page.locator("#overview-matrix [col-id=flow]", has_text="orders").click()
    expect(page.get_by_role("heading", name="orders", exact=True)).to_be_visible()
    page.locator("#flow-owed [row-index='0'] [col-id=subject]").click()
    expect(page.get_by_text("Attempt 4 at erp: write")).to_be_visible()
    page.get_by_role("tab", name="As it came in").click()
    expect(page.get_by_text("orders/create:77").last).to_be_visible()
    page.get_by_role("link", name="Findings").click()
    page.locator("#findings-grid [row-index='0'] [col-id=key]").click()
    expect(page.get_by_text("so it was changed at the shop")).to_be_visible()
    expect(page.locator("#finding-writes")).to_contain_text("delivered")


def test_the_overview_keeps_itself_up_to_date(site: Site, page: Page) -> None:
    sign_in(page, site.url)
    said = page.locator("#overview-flows-said")
    expect(said).to_contain_text("As of")
    before = said.inner_text()
    expect(said).not_to_have_text(before)


def test_no_page_scrolls_sideways_on_a_telephone(site: Site, browser: Browser) -> None:
    paths = ["/", "/flows/orders", f"/messages/{site.ids['message']}", f"/findings/{site.ids['finding']}",
             f"/quarantine?case={site.ids['case']}", "/policies?kind=RetryPolicy&name=default",
             f"/incidents?incident={site.ids['incident']}", "/comparisons"]  # fmt: skip
    with visit(browser, "light", 390) as page:
        sign_in(page, site.url)
        expect(page.locator(".tu-who")).to_have_text("olga")
        for path in paths:
            page.goto(site.url + path)
            expect(page.locator("main .tu-card").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_fresh_installation_says_what_is_awaited(fresh: Site, page: Page) -> None:
    sign_in(page, fresh.url)
    expect(page.get_by_text("no comparison has run yet")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("Not known")).to_be_visible()
    expect(page.locator("#overview-incidents")).to_contain_text("No incident is open.")


def test_a_page_that_cannot_be_read_anew_says_so_until_it_can(fresh: Site, browser: Browser) -> None:
    page = browser.new_page()
    sign_in(page, fresh.url)
    expect(page.get_by_text("Not known")).to_be_visible(timeout=15_000)
    with fresh.plane.store.write() as conn:
        conn.exec_driver_sql("ALTER TABLE rollup RENAME TO rollup_gone")
    expect(page.locator("#overview-trouble")).to_contain_text("database does not answer")
    expect(page.get_by_text("Not known")).to_be_visible()
    with fresh.plane.store.write() as conn:
        conn.exec_driver_sql("ALTER TABLE rollup_gone RENAME TO rollup")
    expect(page.locator("#overview-trouble")).to_be_hidden(timeout=10_000)
    page.close()


def test_a_message_page_says_so_too_and_keeps_what_it_knew(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    sign_in(page, site.url)
    expect(page.get_by_text("Not now")).to_be_visible(timeout=15_000)
    page.goto(f"{site.url}/messages/{site.ids['message']}")
    expect(page.get_by_text("Attempt 4 at erp: write")).to_be_visible()
    with site.plane.store.write() as conn:
        conn.exec_driver_sql("ALTER TABLE attempt RENAME TO attempt_gone")
    expect(page.locator("#message-trouble")).to_contain_text("database does not answer")
    expect(page.get_by_text("Attempt 4 at erp: write")).to_be_visible()
    with site.plane.store.write() as conn:
        conn.exec_driver_sql("ALTER TABLE attempt_gone RENAME TO attempt")
    expect(page.locator("#message-trouble")).to_be_hidden(timeout=10_000)
    page.close()
