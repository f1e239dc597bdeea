"""A finding is true when the journal has an episode that it names; an episode that lasted and was not named is missed."""

from controlplane.scenarios.judge.episodes import Episode, episodes
from controlplane.scenarios.judge.facts import Case, Evidence
from controlplane.scenarios.judge.findings import Findings, judge

from .journals import KEY, PROMISES, Journal, evidence, finding, minute


def judged(given: Evidence) -> Findings:
    return judge(given.plane.findings, episodes(given), PROMISES.cycle)


def only(given: Evidence) -> Episode:
    [episode] = episodes(given)
    return episode


# --- never received ---
def lost_at(minutes: float, heard_again: float) -> Journal:
    return Journal().stock(minutes, 60, None).stock(heard_again, 61, heard_again)


def test_a_lost_stock_webhook_lasts_until_a_later_one_arrives() -> None:
    episode = only(evidence(lost_at(10, 20)))
    assert (episode.key, episode.cause, episode.start, episode.end) == (KEY, "never_received", minute(10), minute(20))


def test_a_lost_webhook_that_changed_no_compared_figure_is_no_episode() -> None:
    assert episodes(evidence(Journal().webhook(10, [KEY], "Inventory Update", None, "lost"))) == []


def test_an_older_webhook_that_arrives_late_does_not_make_good_a_newer_that_was_lost() -> None:
    journal = Journal().stock(10, 60, 14).stock(11, 61, None).stock(30, 62, 30)
    assert [(e.start, e.end) for e in episodes(evidence(journal))] == [(minute(10), minute(30))]


def test_a_reading_that_healed_a_finding_ends_the_episode() -> None:
    healed = finding("never_received", 16, closed=17, state="healed")
    given = evidence(Journal().stock(10, 60, None), findings=(healed,))
    assert only(given).end == minute(17)
    result = judged(given)
    assert (result.true, result.cause_right, result.false, result.missed) == (1, 1, [], [])


def test_a_finding_is_counted_from_the_end_of_the_promise() -> None:
    result = judged(evidence(lost_at(10, 20), findings=(finding("never_received", 15),)))
    assert result.detect == [180.0]
    assert (result.detect_p50, result.detect_max) == (180.0, 180.0)


def test_an_episode_that_outlasted_promise_and_cycle_unnamed_is_missed() -> None:
    [reason] = judged(evidence(lost_at(10, 20))).missed
    assert KEY in reason
    assert "never_received" in reason


def test_an_episode_shorter_than_promise_and_cycle_need_not_be_named() -> None:
    assert judged(evidence(lost_at(10, 16))).missed == []


def test_a_finding_where_nothing_was_wrong_is_false() -> None:
    [reason] = judged(evidence(Journal(), findings=(finding("never_received", 15),))).false
    assert "nothing was wrong" in reason


def test_a_finding_within_the_promise_is_false() -> None:
    assert len(judged(evidence(lost_at(10, 20), findings=(finding("never_received", 11),))).false) == 1


def test_a_finding_confirmed_long_after_the_episode_is_false() -> None:
    assert len(judged(evidence(lost_at(10, 20), findings=(finding("never_received", 22),))).false) == 1


def test_a_finding_of_an_episode_that_ended_by_itself_before_promise_and_cycle_is_false() -> None:
    assert len(judged(evidence(lost_at(10, 15), findings=(finding("never_received", 14),))).false) == 1


def test_a_finding_with_another_cause_is_true_with_the_cause_wrong() -> None:
    result = judged(evidence(lost_at(10, 20), findings=(finding("changed_at_target", 15),)))
    assert (result.true, result.cause_right, len(result.wrong_cause)) == (1, 0, 1)


# --- changed at the target ---
def edited(back: Journal | None = None) -> Journal:
    journal = back or Journal()
    journal.write(30, "hand_edit", sku="0007-BLK-M", location="WH1", **{"from": 48, "to": 55})
    return journal.value(30, "shop", "available", 55, "hand_edit")


def test_a_hand_edit_lasts_until_the_plane_sets_the_stock_again() -> None:
    journal = edited().value(36, "shop", "available", 48, "inventorySetQuantities")
    episode = only(evidence(journal))
    assert (episode.cause, episode.start, episode.end) == ("changed_at_target", minute(30), minute(36))


def test_a_hand_edit_lasts_until_it_is_edited_back() -> None:
    journal = edited()
    journal.write(40, "hand_edit", sku="0007-BLK-M", location="WH1", **{"from": 55, "to": 48})
    journal.value(40, "shop", "available", 48, "hand_edit")
    spans = [(e.start, e.end) for e in episodes(evidence(journal)) if e.cause == "changed_at_target"]
    assert spans[0] == (minute(30), minute(40))


def test_an_edit_that_nobody_undoes_is_missed_unless_named() -> None:
    assert len(judged(evidence(edited())).missed) == 1
    found = judged(evidence(edited(), findings=(finding("changed_at_target", 37),)))
    assert (found.true, found.cause_right, found.missed) == (1, 1, [])


def test_an_edit_to_the_same_number_is_no_episode() -> None:
    journal = Journal().write(30, "hand_edit", sku="0007-BLK-M", location="WH1", **{"from": 48, "to": 48})
    assert episodes(evidence(journal)) == []


# --- late ---
def test_a_document_is_late_from_its_time_until_its_effect_in_the_books() -> None:
    journal = Journal().document(10, "shipment", "SHP-1", ("erp", "shop")).effect(40, "erp", "shipment", "SHP-1")
    episode = only(evidence(journal))
    assert (episode.cause, episode.start, episode.end) == ("late", minute(10), minute(40))
    result = judged(evidence(journal, findings=(finding("late", 26),)))
    assert (result.true, result.cause_right) == (1, 1)
    assert result.detect == [360.0]


def test_a_document_that_waits_in_quarantine_is_quarantined_not_late() -> None:
    journal = Journal().document(10, "receipt", "RCV-1")
    given = evidence(journal, cases=(Case("RCV-1", "{}", "refused", "waiting"),))
    assert only(given).cause == "quarantined"


def test_a_document_whose_own_webhook_was_lost_may_be_named_never_received_but_need_not() -> None:
    journal = Journal().document(10, "receipt", "RCV-1").webhook(10, ["RCV-1"], "PO Update", None, "lost")
    journal.effect(18, "erp", "receipt", "RCV-1")
    assert judged(evidence(journal)).missed == []
    result = judged(evidence(journal, findings=(finding("never_received", 14),)))
    assert (result.true, result.cause_right) == (1, 1)


def test_an_offer_is_late_while_the_shop_shows_other_than_what_can_be_sold() -> None:
    journal = Journal().value(10, "truth", "ats", 58).value(20, "shop", "available", 58, "inventorySetQuantities")
    episode = only(evidence(journal))
    assert (episode.cause, episode.start, episode.end) == ("late", minute(10), minute(20))


def test_an_offer_is_not_late_while_a_lost_webhook_explains_it() -> None:
    journal = Journal().stock(10, 60, None).value(10, "truth", "ats", 58).stock(30, 61, 30)
    journal.value(30, "truth", "ats", 59).value(30.1, "shop", "available", 59, "inventorySetQuantities")
    late = [(e.start, e.end) for e in episodes(evidence(journal)) if e.cause == "late"]
    assert late == [(minute(30), minute(30.1))]


def cut_by_an_edit(late_until: float) -> Evidence:
    """An offer that is owed from 10 to 12; for a moment at 10.7 a hand edit explains what the shop shows."""
    journal = Journal().value(10, "truth", "ats", 58)
    journal.write(10.7, "hand_edit", sku=KEY.split("@")[0], location="WH1", **{"from": 60, "to": 57})
    journal.value(10.7, "shop", "available", 57, "hand_edit").value(
        10.72, "shop", "available", 60, "inventorySetQuantities"
    )
    journal.value(late_until, "shop", "available", 58, "inventorySetQuantities")
    return evidence(journal, findings=(finding("late", 11.3, state="healed", closed=late_until),))


def test_an_offer_that_something_else_explains_for_a_moment_is_one_spell_of_lateness() -> None:
    found = judged(cut_by_an_edit(11.5))
    assert (found.true, found.false, found.missed) == (1, [], [])


def test_a_spell_whose_unexplained_rest_is_within_the_promise_is_not_late() -> None:
    assert len(judged(cut_by_an_edit(10.95)).false) == 1


def test_a_finding_that_still_stands_names_the_next_episode_of_its_key_and_cause_too() -> None:
    journal = Journal().document(10, "shipment", "SHP-1").document(20, "shipment", "SHP-2")
    journal.effect(60, "erp", "shipment", "SHP-1").effect(60, "erp", "shipment", "SHP-2")
    assert judged(evidence(journal, findings=(finding("late", 26),))).missed == []
    closed_too_soon = finding("late", 26, closed=29, state="healed")
    assert len(judged(evidence(journal, findings=(closed_too_soon,))).missed) == 1
