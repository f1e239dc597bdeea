"""How a promise is changed at the page: by two people, over days, in a real browser, on a clock that is moved by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from controlplane.access import Actor, create_account, disable_account
from controlplane.clock import ManualClock
from controlplane.registry.changes import Changes
from dashboards.app import mount
from tests.dashboards.chromium import MARKS, sign_in, visit
from tests.dashboards.conftest import Site
from tests.web import PASSWORD, PEOPLE, a_plane, served

pytestmark = MARKS
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = "/policies?kind=RetryPolicy&name=default"
ADA = Actor("ada", frozenset({"editor"}))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Site]:
    """A plane of this test's own whose clock is moved by hand; `eve` edits and approves, `root` is an admin."""
    with a_plane(tmp_path, ManualClock(START), step_up_age=86400) as plane, served(plane, [mount]) as url:
        for name, roles in (("eve", ("editor", "approver")), ("root", ("admin",))):
            create_account(plane.store, plane.clock, name, PASSWORD, roles, actor="setup")
        yield Site(url, plane, {})


def changes(site: Site) -> Changes:
    """Return the change requests of a site."""
    return Changes(site.plane.registry)


def budget(site: Site) -> timedelta:
    """Return the budget that is in force."""
    return site.plane.registry.snapshot().retry_policies["default"].spec.budget


def pass_time(site: Site, seconds: float) -> None:
    """Move the clock, and let the plane do what is due by then."""
    assert isinstance(site.plane.clock, ManualClock)
    site.plane.clock.advance(seconds)
    changes(site).advance()


def enter(page: Page, site: Site, name: str, path: str = POLICY) -> None:
    """Sign in, and go to a page."""
    sign_in(page, site.url, name)
    expect(page.locator(".tu-who")).to_have_text(name)
    page.goto(path if path.startswith("http") else site.url + path)


def write(page: Page, old: str, new: str) -> None:
    """Replace something in the open document, and wait until the plane has checked it."""
    document = page.get_by_label("Document", exact=True)
    expect(document).to_be_visible()
    document.fill(document.input_value().replace(old, new))


def propose(page: Page, title: str) -> None:
    """Propose what is written, and open the request."""
    page.get_by_label("Title").fill(title)
    page.get_by_role("button", name="Propose and ask for review").click()
    page.get_by_role("link", name="Open the change request").click()
    expect(page.get_by_role("heading", name=title)).to_be_visible()


def press(page: Page, name: str, answer: str) -> None:
    """Press a button of the request, and see what is answered."""
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator("#request-answer")).to_contain_text(answer)


def test_a_promise_is_written_checked_simulated_approved_scheduled_in_force_and_taken_back(
    office: Site, browser: Browser
) -> None:
    with visit(browser) as ada, visit(browser) as wim, visit(browser, "dark") as ben:
        enter(ada, office, "ada")
        write(ada, "budget: 1d", "budget: never")
        expect(ada.locator("#policy-verdict")).to_have_text("1 problem")
        expect(ada.locator("#policy-problems")).to_contain_text("line 12 · spec.budget 'never' is not a duration")
        expect(ada.locator("#policy-lines")).to_contain_text("✕ 12")
        write(ada, "budget: never", "budget: 2d")
        expect(ada.locator("#policy-verdict")).to_contain_text("No problem: the whole registry holds")
        propose(ada, "Try for 2d")
        expect(ada.get_by_role("heading", name="What it would have done")).to_be_visible()
        press(ada, "Simulate", "Simulated; an approval rests on this result")
        expect(ada.locator("#request-thread")).to_contain_text("asked for review")

        enter(wim, office, "wim", ada.url)
        press(wim, "Approve", "there is missing 1 approval more")
        enter(ben, office, "ben", "/policies")
        ben.locator("#requests-grid [row-index='0'] [col-id=title]").click()
        expect(ben.locator("#request-fields")).to_contain_text("spec.budget")
        expect(ben.locator("#request-fields")).to_contain_text("relaxes")
        ben.get_by_label("Comment or reason").fill("the ERP needs it")
        press(ben, "Approve", "Approved: it can be applied now")
        expect(ada.locator("#request-thread")).to_contain_text("approved: the ERP needs it")
        expect(ada.locator("#request-moved")).to_contain_text("ben approved since you opened it; it is approved now.")
        ada.get_by_role("button", name="Show it as it is now").click()
        ada.get_by_label("In force from, UTC").fill("2026-03-02 10:00")
        press(ada, "Schedule", "Scheduled: the plane puts it in force by itself")
        [*_, voted] = changes(office).list()[0].votes
        assert voted.simulation is not None, "an approval names the simulation that it rests on"

        pass_time(office, 3500)
        assert budget(office) == timedelta(days=1)
        pass_time(office, 200)
        assert budget(office) == timedelta(days=2)
        expect(ada.locator("#request-thread")).to_contain_text("put it in force")

        ada.goto(office.url + POLICY)
        expect(ada.locator("#policy-one")).to_contain_text("revision 2")
        expect(ada.locator("#history-fields")).to_contain_text("spec.budget")
        ada.get_by_label("Why").fill("it was too long")
        ada.get_by_role("button", name="Propose to go back").click()
        ada.locator("#history-answer").get_by_role("link", name="Open the change request").click()
        expect(ada.locator("#request-one")).to_contain_text("Goes back to")
        expect(ada.locator("#request-fields")).to_contain_text("does not relax")
        ben.goto(ada.url)
        press(ben, "Approve", "Approved: it can be applied now")
        press(ben, "Apply now", "In force from now on")
    assert budget(office) == timedelta(days=1)
    assert [one.state for one in changes(office).list()] == ["effective", "rolled_back"]


def test_of_two_who_edit_a_policy_the_second_is_told_and_nothing_is_overwritten(office: Site, browser: Browser) -> None:
    with visit(browser) as ada, visit(browser, "dark") as eve:
        enter(ada, office, "ada")
        enter(eve, office, "eve")
        write(ada, "budget: 1d", "budget: 12h")
        write(eve, "budget: 1d", "budget: 6h")
        write(eve, "cap: 5m", "cap: 4m")
        propose(ada, "Shorter")
        expect(eve.locator("#policy-others")).to_contain_text("“Shorter” by ada (in review)")
        made = changes(office).list()[0].id
        changes(office).vote(made, Actor("ben", frozenset({"approver"}), "finance-systems"), "approve")
        changes(office).apply(made, ADA)

        expect(eve.locator("#policy-moved")).to_contain_text("Revision 2 of RetryPolicy/default, written by ada")
        eve.get_by_label("Title").fill("Shorter still")
        eve.get_by_role("button", name="Propose and ask for review").click()
        expect(eve.locator("#policy-answer")).to_contain_text("came into force since you opened revision 1")
        assert len(changes(office).list()) == 1, "a refused proposal leaves nothing behind"

        eve.get_by_role("button", name="Look at both, and bring mine onto it").click()
        both = eve.locator("#policy-fields")
        expect(both.locator("[row-index='0']")).to_contain_text("both: decide")
        expect(both.locator("[row-index='0']")).to_contain_text("12h")
        expect(both.locator("[row-index='1']")).to_contain_text("mine")
        expect(eve.get_by_label("Document", exact=True)).to_have_value(_holding("cap: 4m", "budget: 6h"))
        expect(eve.get_by_label("Title")).to_have_value("Shorter still")
        expect(eve.locator("#policy-moved")).to_be_hidden(timeout=10_000)
        propose(eve, "Shorter still")
    assert changes(office).list()[0].base_revision == 2
    assert budget(office) == timedelta(hours=12)


def _holding(*lines: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, lines)), re.DOTALL)


def test_of_two_who_edit_a_request_the_second_is_told_and_keeps_what_was_written(
    office: Site, browser: Browser
) -> None:
    with visit(browser) as ada, visit(browser, "dark") as eve:
        enter(ada, office, "ada")
        write(ada, "budget: 1d", "budget: 2d")
        propose(ada, "Longer")
        enter(eve, office, "eve", ada.url)
        for page, value in ((ada, "3d"), (eve, "4d")):
            page.get_by_text("Edit the document").click()
            document = page.get_by_label("Document of the request")
            document.fill(document.input_value().replace("budget: 2d", f"budget: {value}"))
            expect(page.locator("#request-verdict")).to_contain_text("No problem")
        press(ada, "Save the edit", "Kept: it is a draft again")
        press(eve, "Save the edit", "was edited by 'ada' since you looked at it")
        expect(eve.locator("#request-moved")).to_contain_text("ada edited this request since you opened it")
        expect(eve.get_by_label("Document of the request")).to_have_value(re.compile("budget: 4d"))
    assert changes(office).list()[0].document["spec"]["budget"] == "3d"


def test_what_was_overtaken_is_a_conflict_shown_side_by_side_and_rebased(office: Site, browser: Browser) -> None:
    with visit(browser) as ada:
        enter(ada, office, "ada")
        write(ada, "budget: 1d", "budget: 12h")
        propose(ada, "Shorter")
        mine = changes(office).list()[0]
        ben = Actor("ben", frozenset({"approver"}), "finance-systems")
        changes(office).vote(mine.id, ben, "approve")
        document = office.plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
        document["spec"] |= {"budget": "6h", "cap": "4m"}
        other = changes(office).open("RetryPolicy", "default", document, "Other", "", ADA)
        changes(office).submit(other.id, ADA)
        changes(office).vote(other.id, ben, "approve")
        changes(office).apply(other.id, ADA)
        ada.reload()
        press(ada, "Apply now", "that is not what is in force now; edit it with rebase")
        ada.get_by_role("button", name="Show it as it is now").click()
        expect(ada.locator("#request-fields [row-index='0']")).to_contain_text("both: decide")
        expect(ada.locator("#request-fields [row-index='1']")).to_contain_text("theirs")
        expect(ada.get_by_label("Document of the request")).to_have_value(_holding("cap: 4m", "budget: 12h"))
        press(ada, "Rebase on what is in force", "Kept: it is a draft again")
        expect(ada.get_by_role("button", name="Ask for review")).to_be_enabled()
    assert (changes(office).get(mine.id).base_revision, changes(office).get(mine.id).state) == (2, "draft")


def test_an_approver_who_looks_at_an_older_document_does_not_approve_the_new_one(
    office: Site, browser: Browser
) -> None:
    document = office.plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["budget"] = "12h"
    made = changes(office).open("RetryPolicy", "default", document, "Shorter", "", ADA)
    changes(office).submit(made.id, ADA)
    with visit(browser) as ben:
        enter(ben, office, "ben", f"/policies?request={made.id}")
        expect(ben.get_by_role("button", name="Approve")).to_be_enabled()
        document["spec"]["budget"] = "30d"
        changes(office).edit(made.id, document, ADA)
        changes(office).submit(made.id, ADA)
        press(ben, "Approve", "was edited by 'ada' since you looked at it")
    assert changes(office).get(made.id).valid_votes == ()


def test_who_wrote_a_change_cannot_approve_it_and_an_admin_neither(office: Site, browser: Browser) -> None:
    with visit(browser) as eve, visit(browser) as root:
        enter(eve, office, "eve")
        write(eve, "budget: 1d", "budget: 3d")
        propose(eve, "Try for 3d")
        expect(eve.get_by_role("button", name="Approve")).to_be_disabled()
        expect(eve.locator("#request-why")).to_contain_text(
            "you wrote it, so another person has to, whatever your roles"
        )
        enter(root, office, "root", eve.url)
        expect(root.get_by_role("button", name="Approve")).to_be_disabled()
        expect(root.locator("#request-why")).to_contain_text("an admin approves nothing, whatever other roles")
        root.get_by_label("Comment or reason").fill("not now")
        press(root, "Withdraw", "Withdrawn.")
        expect(root.locator("#request-thread")).to_contain_text("withdrew it: not now")


def test_a_viewer_sees_every_button_disabled_and_why(office: Site, browser: Browser) -> None:
    document = office.plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["budget"] = "12h"
    made = changes(office).open("RetryPolicy", "default", document, "Shorter", "", ADA)
    with visit(browser, "dark", 390) as vic:
        enter(vic, office, "vic", f"/policies?request={made.id}")
        buttons = vic.locator("#request-one button.mantine-Button-root")
        expect(buttons).to_have_count(12)
        for button in buttons.all():
            expect(button).to_be_disabled()
        expect(vic.locator("#request-why")).to_contain_text("it takes the role editor or admin, and yours is viewer")
        vic.goto(office.url + POLICY)
        for name in ("Propose and ask for review", "Save as a draft", "Propose to go back"):
            expect(vic.get_by_role("button", name=name)).to_be_disabled()
        expect(vic.locator("#policy-one")).to_contain_text("You cannot propose a change")


def test_the_glass_is_broken_with_hours_and_a_reason_and_the_review_is_owed(office: Site, browser: Browser) -> None:
    with visit(browser) as ada, visit(browser) as ben:
        enter(ada, office, "ada")
        write(ada, "budget: 1d", "budget: 2d")
        ada.get_by_label("Title").fill("Longer")
        ada.get_by_role("button", name="Save as a draft").click()
        ada.get_by_role("link", name="Open the change request").click()
        expect(ada.get_by_role("button", name="Break the glass")).to_be_enabled()
        press(ada, "Break the glass", "break-glass needs a reason")
        ada.get_by_label("Comment or reason").fill("the ERP is down")
        ada.get_by_label("For hours").fill("1")
        press(ada, "Break the glass", "In force without approval")
        assert budget(office) == timedelta(days=2)
        enter(ben, office, "ben", ada.url)
        expect(ben.locator("#requests-grid")).to_contain_text("review owed")
        ben.get_by_label("Comment or reason").fill("it was right")
        press(ben, "Review", "nothing is owed any more")
        expect(ben.locator("#request-one")).to_contain_text("reviewed by ben")
    pass_time(office, 3601)
    assert budget(office) == timedelta(days=1)


def test_people_talk_about_a_request_and_see_it_at_once(office: Site, browser: Browser) -> None:
    document = office.plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document["spec"]["budget"] = "12h"
    made = changes(office).open("RetryPolicy", "default", document, "Shorter", "", ADA)
    with visit(browser) as ada, visit(browser) as wim:
        enter(ada, office, "ada", f"/policies?request={made.id}")
        enter(wim, office, "wim", f"/policies?request={made.id}")
        wim.get_by_label("Comment or reason").fill("why so short?")
        press(wim, "Comment", "Said, and kept in the thread")
        expect(ada.locator("#request-thread")).to_contain_text("commented: why so short?")
        expect(ada.locator("#request-moved")).to_be_hidden()


def test_the_catalogue_goes_by_domain_and_owner_and_a_domain_shows_its_blueprint(fresh: Site, browser: Browser) -> None:
    with visit(browser) as vic:
        enter(vic, fresh, "vic", "/policies")
        grid = vic.locator("#policies-grid")
        expect(grid.locator(".tu-heading").first).to_contain_text("finance · ")
        vic.get_by_text("By owner").click()
        expect(grid.locator(".tu-heading").first).to_contain_text("ecommerce · ")
        vic.get_by_label("Filter").fill("domain inventory")
        expect(grid.locator(".tu-heading")).to_have_count(1)
        grid.locator("[row-index='1'] [col-id=name]").click()
        blueprint = vic.locator(".tu-blueprint")
        for said in ("warehouse-ops", "Everywhere within", "stock-three-way", "retried, then held in quarantine", "at once",
                     "available_to_sell", "WH1", "stock-offers", "plane → shop (available)"):  # fmt: skip
            expect(blueprint).to_contain_text(said)
        assert vic.url.endswith("/policies?kind=Domain&name=inventory")


def test_an_installation_with_one_person_says_so(office: Site, browser: Browser) -> None:
    with visit(browser) as ben:
        enter(ben, office, "ben")
        expect(ben.get_by_role("heading", name="History")).to_be_visible()
        expect(ben.get_by_text("This installation has one person only")).to_have_count(0)
        expect(ben.get_by_text("Owners without an account")).to_have_count(0)
        for name in ("eve", "root", *PEOPLE):
            if name != "ben":
                disable_account(office.plane.store, office.plane.clock, name, actor="test")
        ben.reload()
        expect(ben.get_by_text("This installation has one person only")).to_be_visible()
        expect(ben.get_by_text("which own policies: ecommerce, integration-platform,")).to_be_visible()


def test_a_policy_that_is_not_there_yet_is_begun_written_and_proposed_at_the_page(
    office: Site, browser: Browser
) -> None:
    with visit(browser) as ada, visit(browser) as vic:
        enter(ada, office, "ada", "/policies")
        ada.get_by_text("A new policy").click()
        ada.get_by_label("Name of the new policy").fill("default")
        ada.get_by_role("textbox", name="Kind of the new policy").click()
        ada.get_by_role("option", name="RetryPolicy").click()
        ada.get_by_role("button", name="Begin").click()
        expect(ada.locator("#policy-new-answer")).to_contain_text("RetryPolicy/default is in force already")
        ada.get_by_label("Name of the new policy").fill("Gentle one")
        ada.get_by_role("button", name="Begin").click()
        expect(ada.locator("#policy-new-answer")).to_contain_text("'Gentle one' is no name of a policy")
        ada.get_by_label("Name of the new policy").fill("gentle")
        ada.get_by_role("button", name="Begin").click()
        expect(ada.get_by_role("heading", name="RetryPolicy/gentle")).to_be_visible()
        write(ada, "spec: {}", "spec:\n  cap: never")
        expect(ada.locator("#policy-verdict")).to_have_text("1 problem")
        write(ada, "never", "9m")
        expect(ada.locator("#policy-verdict")).to_contain_text("No problem: the whole registry holds")
        propose(ada, "A gentler one")
        [made] = changes(office).list()
        assert (made.name, made.base_revision, made.document["spec"]["cap"]) == ("gentle", None, "9m")
        enter(vic, office, "vic", "/policies")
        expect(vic.locator("#policies-grid")).to_be_visible()
        expect(vic.get_by_text("A new policy")).to_have_count(0)


def test_who_was_overtaken_with_a_new_policy_is_told_and_brings_both_together(office: Site, browser: Browser) -> None:
    document = office.plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
    document |= {"metadata": {**document["metadata"], "name": "gentle"}}
    with visit(browser) as ada:
        enter(ada, office, "ada", "/policies")
        ada.get_by_text("A new policy").click()
        ada.get_by_label("Name of the new policy").fill("gentle")
        ada.get_by_role("textbox", name="Kind of the new policy").click()
        ada.get_by_role("option", name="RetryPolicy").click()
        ada.get_by_role("button", name="Begin").click()
        expect(ada.get_by_role("heading", name="RetryPolicy/gentle")).to_be_visible()
        write(ada, "spec: {}", "spec:\n  cap: 9m")
        made = changes(office).open("RetryPolicy", "gentle", document, "Mine", "", ADA)
        changes(office).submit(made.id, ADA)
        for name in ("ben", "wim"):
            if changes(office).get(made.id).state == "in_review":
                changes(office).vote(made.id, Actor(name, frozenset({"approver"}), PEOPLE[name][1]), "approve")
        changes(office).apply(made.id, ADA)
        expect(ada.locator("#policy-moved")).to_contain_text("and you began it as a new policy")
        ada.get_by_label("Title").fill("Mine")
        ada.get_by_role("button", name="Propose and ask for review").click()
        expect(ada.locator("#policy-answer")).to_contain_text("came into force since you began it as a new policy")
        ada.get_by_role("button", name="Look at both, and bring mine onto it").click()
        expect(ada.locator("#policy-answer")).to_contain_text("What you wrote stands on what is in force now")


@pytest.mark.parametrize(
    ("deed", "needed"), [("Apply now", "approved"), ("Schedule", "approved"), ("Break the glass", "draft")]
)
def test_what_puts_a_change_in_force_asks_at_the_page_for_a_proof_of_who_it_is(
    tmp_path: Path, browser: Browser, deed: str, needed: str
) -> None:
    with a_plane(tmp_path, ManualClock(START)) as plane, served(plane, [mount]) as url, visit(browser) as ada:
        site = Site(url, plane, {})
        document = plane.registry.snapshot().retry_policies["default"].model_dump(mode="json")
        document["spec"]["cap"] = "4m"
        made = changes(site).open("RetryPolicy", "default", document, "Shorter", "", ADA)
        if needed == "approved":
            changes(site).submit(made.id, ADA)
            changes(site).vote(made.id, Actor("ben", frozenset({"approver"}), "finance-systems"), "approve")
        enter(ada, site, "ada", f"/policies?request={made.id}")
        ada.get_by_label("Comment or reason").fill("now")
        if deed == "Schedule":
            ada.get_by_label("In force from, UTC").fill("2026-03-02 10:00")
        assert isinstance(plane.clock, ManualClock)
        plane.clock.advance(901)
        press(ada, deed, "has not proved within the last 15m who it is")
        assert changes(site).get(made.id).state == needed
        ada.get_by_role("link", name="Prove that it is you").click()
        ada.get_by_label("Password").fill(PASSWORD)
        ada.get_by_role("button").first.click()
        expect(ada.get_by_role("heading", name="Shorter")).to_be_visible()
        ada.get_by_label("Comment or reason").fill("now")
        if deed == "Schedule":
            ada.get_by_label("In force from, UTC").fill("2026-03-02 10:00")
        press(ada, deed, "orce")
        assert changes(site).get(made.id).state == ("scheduled" if deed == "Schedule" else "effective")
