"""What people do at the quarantine: open a case, correct its record, replay it. How a promise is changed: `test_browser_policies`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from controlplane.store import tables as t
from controlplane.views import quarantine as view
from rules.ids import new_id
from tests.dashboards.chromium import MARKS, sign_in, visit
from tests.dashboards.conftest import Site
from tests.dashboards.seed import Seed

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


def test_who_has_looked_at_the_target_vouches_with_a_reason_and_nothing_is_sent(site: Site, olga: Page) -> None:
    story = Seed(site.plane)
    case = story.add(
        t.quarantine, id=new_id(story.now), stage="delivery", system="erp", flow="orders", reason_code="gave_up",
        reason="erp did not answer, and cannot tell", remedy="look there", subject="#1003", state="waiting", owner="store-ops",
        record={"ref": "#1003"}, opened_at=story.now,
    )  # fmt: skip
    olga.goto(f"{site.url}/quarantine?case={case}")
    olga.get_by_role("button", name="It had no effect there").click()
    expect(olga.locator(".mantine-TextInput-error")).to_contain_text("needs a reason")
    olga.get_by_label("Reason").fill("it is not in the ERP")
    olga.get_by_role("button", name="It had no effect there").click()
    expect(olga.locator("#case-answer")).to_contain_text("what was sent of it had no effect")
    with site.plane.store.read() as conn:
        steps = [(step["kind"], step["actor"], step["note"]) for step in view.case(conn, case)["history"]]
    assert steps == [("vouched", "olga", "it is not in the ERP")]
    olga.goto(f"{site.url}/quarantine?case={site.ids['case']}")
    expect(olga.get_by_label("Record")).to_be_visible()
    expect(olga.get_by_role("button", name="It had no effect there")).to_be_hidden()
