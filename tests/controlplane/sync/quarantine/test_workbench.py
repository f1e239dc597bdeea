"""What people do with records that wait: correct one or many, agree, look, let go at a pace, drop; and what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError
from controlplane.store import Store, direct
from controlplane.store import tables as t
from controlplane.store.locks import lock_targets
from controlplane.sync import quarantine
from controlplane.sync.engines.workbench import AT_ONCE, Edit
from controlplane.sync.quarantine import Selection
from tests.controlplane.sync.quarantine.conftest import OTHER, SKU, Bench, Packed, row
from tests.controlplane.sync.test_loop import states

UNMAPPED = Selection.of({"group": {"system": "tills", "code": "unmapped_sku", "fault": "999999"}})
EVERY_TABLE = (
    t.message,
    t.delivery,
    t.quarantine,
    t.quarantine_event,
    t.stock_position,
    t.order_state,
    t.posting,
    t.action,
)


def counts(store: Store) -> list[int]:
    """Rows of every table that a replay could touch."""
    with store.read() as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in EVERY_TABLE]


def rejected_order(bench: Bench, ref: str = "#1001", quantity: int = 2) -> dict[str, Any]:
    """An order that the ERP refused; the warehouse has it."""
    bench.erp.faults.append("rejected")
    bench.order(ref, SKU, quantity)
    bench.run()
    return bench.case()


def level_of(bench: Bench, location: str, on_hand: int) -> None:
    """The warehouse tells a stock level of some place."""
    data = {
        "sku": SKU, "location": location, "on_hand": on_hand, "allocated": 0, "available": on_hand, "in_transit": 0,
        "source_at": bench.clock.now().isoformat(),
    }  # fmt: skip
    bench.hook("wms", "stock.level", f"{SKU}@{location}", data, version=str(on_hand))
    bench.run()


# --- correct ---


def test_a_column_of_a_till_row_is_corrected_and_the_record_goes_on(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    case = bench.case()
    made = bench.set(case, body__row__plu="900001")
    assert [(one.path, one.before, one.after) for one in made.changes] == [("body.row.plu", "999999", "900001")]
    assert not made.needs_approval
    assert bench.erp.effects == {}, "nothing is sent before the replay"
    bench.sync.replay(case["id"], "olga")
    bench.run()
    assert bench.erp.effects["cash_sale", "ST1/R1/1"] == 1
    kept = bench.cases()[0]
    assert (kept["state"], kept["closed_by"]) == ("replayed", "olga")
    assert kept["record"]["body"]["row"] == row(plu="999999"), "the record as it was refused is kept"


def test_before_and_after_of_every_correction_are_kept(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    case = bench.case()
    bench.set(case, body__row__plu="900002")
    bench.set(case, "vic", body__row__plu="900001")
    e = t.quarantine_event.c
    with bench.store.read() as connection:
        steps = connection.execute(select(t.quarantine_event).where(e.kind == "corrected").order_by(e.id)).all()
    assert [step.actor for step in steps] == ["olga", "vic"]
    assert [step.before["body"]["row"] for step in steps] == [row(plu="999999"), row(plu="900002")]
    assert [step.after["body"]["row"] for step in steps] == [row(plu="900002"), row(plu="900001")]


def test_a_correction_that_is_taken_back_leaves_the_case_as_it_was(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    case = bench.case()
    bench.set(case, body__row__unit_price="1,00")
    assert bench.case()["needs_approval"]
    bench.set(case, body__row__unit_price="9,90")
    again = bench.case()
    assert (again["state"], again["corrected"], again["needs_approval"]) == ("waiting", None, False)


def test_records_of_one_cause_are_corrected_together_and_each_keeps_its_own_rest(bench: Bench) -> None:
    bench.till(*(row(f"R{n}", plu="999999", qty=str(n)) for n in range(1, 6)), row("R9", plu="888888"))
    made = bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.plu": "900001"}), "olga")
    assert (len(made["corrected"]), made["refused"], made["next"]) == (5, [], None)
    rows = [case["corrected"]["body"]["row"] for case in bench.cases("corrected")]
    assert rows == [row(f"R{n}", plu="900001", qty=str(n)) for n in range(1, 6)]
    assert [case["fault"] for case in bench.cases("waiting")] == ["888888"]


def test_what_one_record_refuses_does_not_keep_the_others_from_their_correction(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    bench.till("ST1;R2;1;999999;1;9,90;2026-03-02T08:00:00Z", header="store;receipt;line;plu;qty;unit_price;sold_at")
    made = bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.tax_code": "A"}), "olga")
    assert len(bench.cases("corrected")) == 0, "the tax code was A already"
    assert [one["state"] for one in made["corrected"]] == ["waiting"]
    assert ["no column 'tax_code'" in one["reason"] for one in made["refused"]] == [True]


def test_a_dry_run_of_a_correction_shows_it_and_keeps_nothing(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    before = counts(bench.store)
    made = bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.unit_price": "1,00"}), "olga", dry_run=True)
    [one] = made["corrected"]
    assert one["needs_approval"]
    assert one["changes"] == [{"path": "body.row.unit_price", "before": "9,90", "after": "1,00"}]
    assert counts(bench.store) == before


def test_a_canonical_record_is_corrected_to_its_schema_or_not_at_all(bench: Bench) -> None:
    case = rejected_order(bench)
    with pytest.raises(BadInputError, match="quantity"):
        bench.set(case, **{"lines[0]__quantity": -1})
    assert bench.case()["state"] == "waiting"


def test_a_corrected_message_is_about_what_its_data_now_says(bench: Bench) -> None:
    level_of(bench, "WH9", 33)
    case = bench.case()
    bench.set(case, location="WH1")
    bench.sync.replay(case["id"], "olga")
    bench.run()
    assert bench.shop.levels[SKU, "WH1"] == 33 - 2
    with bench.store.read() as connection:
        newest = connection.execute(
            select(t.message).where(t.message.c.type == "stock.level").order_by(t.message.c.id.desc())
        ).first()
    assert newest is not None
    assert newest.subject == f"{SKU}@WH1"


def test_a_delivery_cannot_be_made_one_about_something_else(
    make_bench: Callable[[Path], Bench], packed: Packed
) -> None:
    bench = make_bench(packed("inventory", protected_fields=[]))
    bench.shop.faults.append("rejected")
    bench.clock.advance(1)
    bench.level(SKU, 20)
    bench.run()
    with pytest.raises(BadInputError, match=f"about {SKU}@WH1, and the corrected record about {OTHER}@WH1"):
        bench.set(bench.case(), sku=OTHER)


# --- field rights and the second person ---


def test_what_a_document_is_known_by_may_not_be_changed(bench: Bench) -> None:
    case = rejected_order(bench)
    with pytest.raises(ForbiddenError, match="ref may not be corrected"):
        bench.set(case, ref="#2002")
    with pytest.raises(ForbiddenError, match=r"lines\[0\].native_id"):
        bench.set(case, **{"lines[0]__native_id": "L9"})
    assert bench.history(case["id"]) == ["opened"]


def test_changed_money_waits_for_somebody_who_did_not_change_it(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.set(case, **{"lines[0]__unit_price": "9.00"})
    with pytest.raises(ConflictError, match="takes a second person"):
        bench.sync.replay(case["id"], "olga")
    with pytest.raises(ForbiddenError, match="takes somebody else"):
        bench.sync.workbench.approve(case["id"], "olga")
    bench.sync.workbench.approve(case["id"], "ben", bench.case()["correction_id"])
    bench.sync.replay(case["id"], "olga")
    bench.run()
    assert bench.erp.effects["sales_order", "#1001"] == 1
    assert bench.history(case["id"]) == ["opened", "corrected", "approved", "replayed"]


def test_everybody_who_had_a_hand_in_a_correction_is_an_editor_of_it(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.set(case, "vic", **{"lines[0]__sku": OTHER})
    bench.set(case, "olga", **{"lines[0]__unit_price": "9.00"})
    with pytest.raises(ForbiddenError, match="'vic' corrected this record"):
        bench.sync.workbench.approve(case["id"], "vic")


def test_an_approval_is_of_what_was_looked_at_and_ends_with_the_next_correction(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.set(case, **{"lines[0]__unit_price": "9.00"})
    seen = bench.case()["correction_id"]
    bench.set(case, **{"lines[0]__unit_price": "0.01"})
    with pytest.raises(ConflictError, match="corrected anew meanwhile"):
        bench.sync.workbench.approve(case["id"], "ben", seen)
    bench.sync.workbench.approve(case["id"], "ben", bench.case()["correction_id"])
    bench.set(case, **{"lines[0]__unit_price": "8.00"})
    assert bench.case()["approved_by"] is None
    with pytest.raises(ConflictError, match="takes a second person"):
        bench.sync.replay(case["id"], "olga")


def test_an_identity_that_is_missing_is_filled_in_by_two(bench: Bench) -> None:
    bench.till(";".join(row().split(";")[:-1]))  # a field short: nothing of the row can be told by column
    case = bench.case()
    whole = {**case["record"], "body": {**case["record"]["body"], "row": row()}}
    made = bench.sync.workbench.correct(case["id"], Edit(record=whole), "olga")
    assert made.needs_approval
    bench.sync.workbench.approve(case["id"], "ben")
    bench.sync.replay(case["id"], "olga")
    bench.run()
    assert bench.erp.effects["cash_sale", "ST1/R1/1"] == 1


def test_the_blueprint_of_the_domain_decides(make_bench: Callable[[Path], Bench], packed: Packed) -> None:
    bench = make_bench(
        packed("orders", protected_fields=["lines[*].sku"], approve_fields=["quantity"], approve_above="15")
    )
    case = rejected_order(bench, quantity=1)
    with pytest.raises(ForbiddenError, match=r"lines\[0\].sku"):
        bench.set(case, **{"lines[0]__sku": OTHER})
    assert not bench.set(case, **{"lines[0]__unit_price": "9.00"}).needs_approval, (
        "money is no concern of this blueprint"
    )
    assert bench.set(case, **{"lines[0]__quantity": 1, "currency": "USD"}).needs_approval is False
    made = bench.set(case, **{"lines[0]__quantity": 2})
    assert [why.split(",")[0] for why in made.approval] == ["lines[0].quantity was changed", "it is worth 18.00"]


def test_what_only_its_translation_tells_the_worth_of_is_stopped_when_it_is_translated(
    make_bench: Callable[[Path], Bench], packed: Packed
) -> None:
    bench = make_bench(packed("orders", approve_above="50"))
    bench.till(row("R1", plu="999999", qty="5", unit_price="9,90"), row("R2", plu="999999", qty="6", unit_price="9,90"))
    bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.plu": "900001"}), "olga")
    small, large = bench.cases("corrected")
    bench.sync.replay(small["id"], "olga")
    with pytest.raises(ConflictError, match=r"worth 59\.40"):
        bench.sync.replay(large["id"], "olga")
    assert bench.case()["needs_approval"]
    bench.sync.workbench.approve(large["id"], "ben")
    bench.sync.replay(large["id"], "olga")
    bench.run()
    assert set(bench.erp.effects) == {("cash_sale", "ST1/R1/1"), ("cash_sale", "ST1/R2/1")}


def test_other_rules_can_stand_behind_the_port(bench: Bench) -> None:
    class Nobody(quarantine.PolicyRules):
        """People of another house."""

        def may_approve(self, case: Any, actor: str, editors: Any) -> str | None:
            """Only auditors may."""
            return None if actor == "auditor" else "only an auditor may"

    bench.sync.workbench.rules = Nobody()
    case = rejected_order(bench)
    bench.set(case, **{"lines[0]__unit_price": "9.00"})
    with pytest.raises(ForbiddenError, match="only an auditor may"):
        bench.sync.workbench.approve(case["id"], "ben")
    bench.sync.workbench.approve(case["id"], "auditor")
    bench.sync.replay(case["id"], "olga")


# --- letting it pass as it is ---


def test_a_sale_of_an_item_that_is_not_sold_any_more_passes_when_somebody_says_why(bench: Bench) -> None:
    bench.product(SKU, "4.00", active=False)
    bench.till(row())
    case = bench.case()
    bench.sync.replay(case["id"], "olga")
    bench.run()
    again = bench.case()
    assert (again["reason_code"], again["previous_id"]) == ("inactive_sku", case["id"]), (
        "replaying alone changes nothing"
    )
    bench.sync.workbench.correct(again["id"], Edit(accept="sold off before it was taken out"), "olga")
    assert bench.sync.preview(again["id"])["held"] == []
    bench.sync.replay(again["id"], "olga")
    bench.run()
    assert bench.erp.effects["cash_sale", "ST1/R1/1"] == 1


def test_only_the_items_that_were_looked_at_pass(bench: Bench) -> None:
    for sku in (SKU, OTHER):
        bench.product(sku, "4.10", active=False)
    bench.run()
    bench.order("#1001", SKU, 1)
    bench.run()
    case = bench.case()
    assert case["fault"] == SKU
    bench.sync.workbench.correct(case["id"], Edit(accept="the customer was promised it"), "olga")
    assert bench.sync.preview(case["id"])["held"] == []
    bench.set(case, **{"lines[0]__sku": OTHER})
    assert bench.sync.preview(case["id"])["held"][0]["reason_code"] == "inactive_sku"


def test_nothing_else_passes_as_it_is(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    with pytest.raises(BadInputError, match="only what waits as inactive_sku"):
        bench.sync.workbench.correct(bench.case()["id"], Edit(accept="please"), "olga")


# --- looking first ---


def test_a_preview_tells_messages_deliveries_and_what_would_wait_again_and_keeps_nothing(bench: Bench) -> None:
    bench.shipment("SH1", "#1001", SKU, 1)
    bench.run()
    case = bench.case()
    before = counts(bench.store)
    assert [one["reason_code"] for one in bench.sync.preview(case["id"])["held"]] == ["unknown_order"]
    assert counts(bench.store) == before
    bench.order("#1001", SKU, 1)
    bench.run()
    before = counts(bench.store)
    made = bench.sync.preview(case["id"])
    assert [one["type"] for one in made["messages"]] == ["shipment.shipped"]
    assert [one["type"] for one in made["follow"]] == ["posting.made", "posting.made"]
    owed = sorted((one["target"], one["entity"]) for one in made["deliveries"])
    assert owed == [
        ("erp", "item_fulfillment"),
        ("erp", "journal_entry"),
        ("erp", "journal_entry"),
        ("shop", "fulfillment"),
    ]
    assert made["held"] == []
    assert counts(bench.store) == before
    assert bench.sync.drain() == 0, "nothing was left to do"


def test_a_preview_says_which_waiting_write_it_would_take_the_place_of(bench: Bench) -> None:
    bench.shop.down = True
    bench.clock.advance(1)
    bench.level(SKU, 21)
    bench.run()
    bench.clock.advance(1)
    level_of(bench, "WH9", 33)
    case = bench.case()
    bench.set(case, location="WH1")
    [owed] = bench.sync.preview(case["id"])["deliveries"]
    assert owed["payload"]["quantity"] == 33 - 2
    with bench.store.read() as connection:
        waiting = connection.execute(select(t.delivery.c.id).where(t.delivery.c.state == "pending")).scalars().all()
    assert owed["supersedes"] == waiting


def test_a_preview_of_a_stock_write_shows_what_the_target_shows(bench: Bench) -> None:
    bench.shop.faults.append("rejected")
    bench.clock.advance(1)
    bench.level(SKU, 20)
    bench.run()
    bench.shop.levels[SKU, "WH1"] = 5
    made = bench.sync.preview(bench.case()["id"])
    fields = {field["field"]: field for field in made["fields"]}
    assert (fields["quantity"]["now"], fields["quantity"]["written"]) == (5, 18)
    assert made["shows"]["detail"] == f"it shows 5 of {SKU} at WH1"


def test_a_preview_of_a_document_shows_whether_the_target_has_it_already(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.set(case, **{"lines[0]__sku": OTHER})
    made = bench.sync.preview(case["id"])
    field = next(field for field in made["fields"] if field["field"] == "lines[0].sku")
    assert (made["shows"]["result"], field) == (
        "absent",
        {"field": "lines[0].sku", "held": SKU, "now": None, "written": OTHER},
    )
    with bench.store.read() as connection:
        key = connection.execute(
            select(t.delivery.c.idempotency_key).where(t.delivery.c.id == case["delivery_id"])
        ).scalar_one()
    bench.erp.by_key[key] = bench.erp.by_key.get(key) or next(
        iter(bench.wms.by_key.values())
    )  # somebody entered it by hand
    made = bench.sync.preview(case["id"])
    field = next(field for field in made["fields"] if field["field"] == "lines[0].sku")
    assert (made["shows"]["result"], field["now"]) == ("already_delivered", SKU)
    with pytest.raises(ConflictError, match="does not prove that the first sales_order #1001 had no effect"):
        bench.sync.replay(case["id"], "olga")


def test_a_target_that_does_not_answer_or_is_paused_shows_nothing_and_is_not_stormed(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.erp.down = True
    assert bench.sync.preview(case["id"])["shows"]["result"] == "unavailable"
    bench.sync.pause("erp", "olga", "stocktaking")
    assert "is not asked anything before" in bench.sync.preview(case["id"])["shows"]["detail"]


# --- replaying many ---


def test_many_are_let_go_at_the_rate_that_was_asked_for(bench: Bench) -> None:
    bench.till(*(row(f"R{n}", plu="999999") for n in range(10)))
    bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.plu": "900001"}), "olga")
    asked = bench.sync.workbench.replay_many(UNMAPPED, "olga", rate=2)
    assert asked["scheduled"] == 10
    assert asked["last"] - asked["first"] == timedelta(seconds=4.5)
    sent = []
    for _ in range(6):
        bench.sync.drain()
        sent.append(sum(bench.erp.effects.values()))
        bench.clock.advance(1)
    assert sent == [1, 3, 5, 7, 9, 10]
    assert {case["closed_by"] for case in bench.cases("replayed")} == {"olga"}


def test_the_rate_is_the_systems_and_a_second_request_waits_behind_the_first(bench: Bench) -> None:
    bench.till(*(row(f"R{n}", plu="999999") for n in range(4)), *(row(f"S{n}", plu="888888") for n in range(2)))
    first = bench.sync.workbench.replay_many(UNMAPPED, "olga")
    other = Selection.of({"group": {"code": "unmapped_sku", "fault": "888888"}})
    second = bench.sync.workbench.replay_many(other, "olga")
    assert first["last"] - first["first"] == timedelta(seconds=0.6), "five a second where the System names no rate"
    assert second["first"] - first["last"] == timedelta(seconds=0.2)
    assert bench.sync.workbench.replay_many(UNMAPPED, "olga")["scheduled"] == 0, "they are asked for already"
    assert bench.sync.next_due() == first["first"]


def test_a_replay_that_is_refused_waits_for_a_person_again_and_says_why(bench: Bench) -> None:
    bench.till(row(plu="999999"), row("R2", plu="999999"))
    first, second = bench.cases()
    bench.set(second, body__row__plu="900001")
    asked = bench.sync.workbench.replay_many(UNMAPPED, "olga", rate=100)
    assert asked["scheduled"] == 2
    bench.run(minutes=0.2)
    one, two = bench.cases()
    assert (one["state"], one["replay_at"], two["state"]) == ("waiting", None, "replayed")
    assert bench.history(first["id"]) == ["opened", "scheduled", "refused"]


def test_what_waits_for_an_approval_is_not_let_go(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    case = bench.case()
    bench.set(case, body__row__plu="900001", body__row__unit_price="1,00")
    asked = bench.sync.workbench.replay_many(UNMAPPED, "olga")
    assert (asked["scheduled"], [one["id"] for one in asked["refused"]]) == (0, [case["id"]])
    bench.sync.workbench.approve(case["id"], "ben")
    bench.sync.workbench.replay_many(UNMAPPED, "olga")
    bench.set(case, body__row__unit_price="0,01")
    bench.run(minutes=0.2)
    assert bench.case()["replay_at"] is None, "a new correction is asked for anew"
    assert bench.erp.effects == {}


def test_replays_wait_while_their_target_is_paused_or_asks_to_wait(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.sync.pause("erp", "olga", "maintenance")
    bench.sync.workbench.replay_many(Selection.of({"ids": [case["id"]]}), "olga")
    bench.run(minutes=1)
    assert bench.case()["state"] == "waiting"
    assert bench.case()["replay_at"] is not None
    bench.sync.resume("erp", "olga", "done")
    bench.run(minutes=0.5)
    assert bench.erp.effects["sales_order", "#1001"] == 1


def test_those_of_a_paused_target_however_many_keep_no_others_waiting(bench: Bench) -> None:
    many = 60
    for number in range(many):
        bench.erp.faults.append("rejected")
        bench.order(f"#{number}", SKU, 1)
        bench.run()
    bench.sync.pause("erp", "olga", "maintenance")
    bench.sync.workbench.replay_many(Selection.of({"group": {"code": "rejected"}}), "olga", rate=1000)
    bench.clock.advance(1)
    bench.till(row(plu="999999"))
    bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.plu": "900001"}), "olga")
    bench.sync.workbench.replay_many(UNMAPPED, "olga")
    bench.clock.advance(1)
    bench.sync.release()
    assert [case["state"] for case in bench.cases() if case["reason_code"] == "unmapped_sku"] == ["replayed"]
    assert len(bench.cases("waiting")) == many
    bench.sync.resume("erp", "olga", "done")
    bench.run(minutes=1)
    assert bench.cases("waiting") == []


def test_a_replay_passes_the_breaker_of_its_target_like_live_traffic(bench: Bench) -> None:
    for number in range(8):
        bench.erp.faults.append("rejected")
        bench.order(f"#{number}", SKU, 1)
        bench.run()
    bench.erp.down = True
    writes = bench.erp.writes
    bench.sync.workbench.replay_many(Selection.of({"group": {"code": "rejected"}}), "olga", rate=100)
    bench.run(minutes=1)
    assert bench.erp.writes - writes < 8 + 8, "the breaker opened, and no storm came of it"
    bench.erp.down = False
    bench.run(minutes=6)
    assert sum(bench.erp.effects.values()) == 8


def test_more_than_a_turn_makes_are_let_go_in_several(bench: Bench) -> None:
    count = AT_ONCE + 5
    bench.till(*(row(f"R{n}", plu="999999") for n in range(count)))
    bench.sync.workbench.correct_many(UNMAPPED, Edit(put={"body.row.plu": "900001"}), "olga")
    bench.sync.workbench.replay_many(UNMAPPED, "olga", rate=1000)
    bench.clock.advance(1)
    assert bench.sync.release() == AT_ONCE
    bench.run()
    assert sum(bench.erp.effects.values()) == count


def test_ids_that_are_no_cases_are_told_and_a_selection_of_everything_is_none(bench: Bench) -> None:
    asked = bench.sync.workbench.replay_many(Selection.of({"ids": ["nothing"]}), "olga")
    assert asked["refused"][0]["id"] == "nothing"
    for given in ({}, {"group": {}}, {"ids": []}, {"ids": ["a"], "group": {"code": "x"}}, {"group": {"colour": "red"}}):
        with pytest.raises(BadInputError):
            Selection.of(given)


# --- superseded ones ---


def test_a_level_that_a_newer_one_has_overtaken_is_dropped_and_not_sent(bench: Bench) -> None:
    level_of(bench, "WH9", 33)
    case = bench.case()
    bench.clock.advance(60)
    bench.level(SKU, 21)
    bench.run()
    bench.set(case, location="WH1")
    assert bench.sync.preview(case["id"])["superseded_by"]
    answer = bench.sync.replay(case["id"], "olga")
    bench.run()
    assert answer["state"] == "dropped"
    assert bench.shop.levels[SKU, "WH1"] == 21 - 2
    assert bench.cases()[-1]["closed_by"] == "superseded by a newer state"
    assert bench.history(case["id"])[-1] == "superseded"


def test_a_raw_record_whose_state_is_overtaken_is_dropped_too(bench: Bench) -> None:
    bench.level("UNKNOWN", 33)
    bench.run()
    case = bench.case()
    bench.clock.advance(60)
    bench.level(SKU, 21)
    bench.run()
    bench.set(case, body__data__sku=SKU, body__subject=f"{SKU}@WH1")
    assert bench.sync.replay(case["id"], "olga")["state"] == "dropped"


def test_an_older_level_that_was_told_later_overtakes_nothing(bench: Bench) -> None:
    early = bench.clock.now().isoformat()
    bench.clock.advance(60)
    level_of(bench, "WH9", 33)
    case = bench.case()
    bench.level(SKU, 21, source_at=early, version="late")
    bench.run()
    bench.set(case, location="WH1")
    assert bench.sync.replay(case["id"], "olga")["state"] == "replayed"
    bench.run()
    assert bench.shop.levels[SKU, "WH1"] == 33 - 2


def test_a_stock_write_that_waits_is_closed_by_the_next_level_with_its_history(bench: Bench) -> None:
    bench.shop.faults.append("rejected")
    bench.clock.advance(1)
    bench.level(SKU, 20)
    bench.run()
    case = bench.case()
    bench.sync.workbench.replay_many(Selection.of({"ids": [case["id"]]}), "olga", rate=0.001)
    bench.clock.advance(1)
    bench.sync.pause("shop", "olga", "a look first")
    bench.level(SKU, 30)
    while bench.sync.translate() or bench.sync.process():
        pass
    bench.sync.resume("shop", "olga", "go on")
    bench.run()
    assert bench.history(case["id"]) == ["opened", "scheduled", "superseded"]
    assert bench.shop.levels[SKU, "WH1"] == 30 - 2


def test_a_document_is_never_superseded(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.order("#1002", SKU, 1)
    bench.run()
    assert bench.sync.replay(case["id"], "olga")["state"] == "replayed"


# --- what is kept ---


def test_a_record_that_fails_again_waits_in_a_new_case_that_knows_the_first(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    first = bench.case()
    bench.set(first, body__row__plu="900001")
    bench.erp.faults.append("rejected")
    bench.sync.replay(first["id"], "olga")
    bench.run()
    second = bench.case()
    assert (second["stage"], second["previous_id"]) == ("delivery", first["id"])
    bench.erp.faults.append("rejected")
    bench.sync.replay(second["id"], "olga")
    bench.run()
    third = bench.case()
    assert third["previous_id"] == second["id"]
    bench.sync.replay(third["id"], "olga")
    bench.run()
    assert bench.erp.effects["cash_sale", "ST1/R1/1"] == 1
    with bench.store.read() as connection:
        for case in (first, second, third):
            assert quarantine.chain(connection, case["id"]) == [first["id"], second["id"], third["id"]]
    assert [bench.history(case["id"])[-1] for case in (first, second, third)] == ["replayed"] * 3


def test_a_delivery_that_was_let_go_again_has_its_whole_budget_and_its_place_in_line(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.clock.advance(90_000)
    bench.sync.replay(case["id"], "olga")
    with bench.store.read() as connection:
        delivery = connection.execute(select(t.delivery).where(t.delivery.c.id == case["delivery_id"])).one()
    assert delivery.head
    assert delivery.deadline_at == bench.clock.now() + bench.registry.snapshot().retry_policies["default"].spec.budget


def test_what_waited_behind_a_dropped_document_goes_on(bench: Bench) -> None:
    case = rejected_order(bench, quantity=1)
    bench.shipment("SH1", "#1001", SKU, 1)
    bench.run()
    assert states(bench, "item_fulfillment") == ["pending"]
    with bench.store.write() as connection:
        quarantine.drop(connection, bench.clock, case["id"], "olga", "entered by hand")
    bench.run()
    assert states(bench, "item_fulfillment") == ["delivered"]
    assert bench.history(case["id"]) == ["opened", "dropped"]


def test_many_are_dropped_with_one_reason(bench: Bench) -> None:
    bench.till(*(row(f"R{n}", plu="999999") for n in range(3)))
    made = bench.sync.workbench.drop_many(UNMAPPED, "olga", "test sales")
    assert len(made["dropped"]) == 3
    assert bench.cases("waiting") == []


def test_nothing_is_closed_by_age(bench: Bench) -> None:
    bench.till(row(plu="999999"))
    bench.clock.advance(400 * 86400)
    bench.run(minutes=1)
    assert bench.case()["state"] == "waiting"


def test_of_two_who_replay_at_once_one_is_told(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.set(case, **{"lines[0]__sku": OTHER})
    other = bench.restarted()
    bench.erp.meanwhile.append(lambda: other.replay(case["id"], "vic"))
    with pytest.raises(ConflictError, match=r"replayed already|not in quarantine any more"):
        bench.sync.replay(case["id"], "olga")
    bench.run()
    assert bench.cases()[0]["closed_by"] == "vic"
    assert bench.erp.effects["sales_order", "#1001"] == 1


def test_a_correction_that_was_made_meanwhile_is_not_passed_over_by_a_replay(bench: Bench) -> None:
    case = rejected_order(bench)
    bench.set(case, **{"lines[0]__sku": OTHER})
    bench.erp.meanwhile.append(lambda: bench.set(case, "vic", **{"lines[0]__quantity": 1}))
    with pytest.raises(ConflictError, match="corrected meanwhile"):
        bench.sync.replay(case["id"], "olga")
    assert bench.case()["corrected"]["lines"][0]["quantity"] == 1
    bench.run()
    assert bench.erp.effects["sales_order", "#1001"] == 0


def test_a_case_that_is_dropped_while_it_is_replayed_is_replayed_and_the_other_told_so(
    postgresql_store: Store, clock: ManualClock, packed: Packed, tmp_path: Path
) -> None:
    bench = Bench(postgresql_store, clock, packed(), tmp_path / "tills")
    bench.erp.faults.append("rejected")
    bench.order("D1", SKU, 1)
    bench.run()
    case = bench.case()["id"]

    def drop() -> None:
        with bench.store.write() as connection:
            quarantine.drop(connection, clock, case, "nora", "not owed")

    with ThreadPoolExecutor(2) as pool:
        with bench.store.write() as connection:  # both have to wait for the target, the replay first
            lock_targets(connection, ["erp"], alone=True)
            direct.send_waiting(connection)
            replayed = pool.submit(bench.sync.replay, case, "olga")
            _until_so_many_wait(bench.store, 1)
            dropped = pool.submit(drop)
            _until_so_many_wait(bench.store, 2)
        assert replayed.result(30)["state"] == "replayed"
        with pytest.raises(ConflictError, match="is replayed already"):
            dropped.result(30)


def _until_so_many_wait(store: Store, count: int) -> None:
    query = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with store.read() as connection:
            if connection.exec_driver_sql(query).scalar_one() >= count:
                return
    raise AssertionError(f"{count} transactions were to wait")
