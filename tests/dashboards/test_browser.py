"""A person's way through the pages in a real browser: sign-in, overview, flow, message, finding."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboards.conftest import Site
from tests.web import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(params=[("light", 1440), ("dark", 390)], ids=["light-wide", "dark-narrow"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that fails the test on an error in its console and on any request that leaves loopback."""
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    found, wrong = context.new_page(), []
    found.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("request", lambda asked: wrong.append(asked.url) if not _local(asked.url) else None)
    yield found
    context.close()
    assert wrong == []


def _local(url: str) -> bool:
    return url.startswith(("data:", "blob:")) or urlsplit(url).hostname == "127.0.0.1"


def sign_in(page: Page, url: str) -> None:
    """Sign in as the operator."""
    page.goto(url)
    expect(page).to_have_title("Sign in · Trueup")
    page.get_by_label("Name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


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
    expect(said).to_contain_text("As of", timeout=15_000)
    before = said.inner_text()
    expect(said).not_to_have_text(before, timeout=10_000)


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
    expect(page.locator("#overview-trouble")).to_contain_text("database does not answer", timeout=10_000)
    expect(page.get_by_text("Not known")).to_be_visible()
    with fresh.plane.store.write() as conn:
        conn.exec_driver_sql("ALTER TABLE rollup_gone RENAME TO rollup")
    expect(page.locator("#overview-trouble")).to_be_hidden(timeout=10_000)
    page.close()
