"""Documents are counted by business reference, from the journal."""

from dataclasses import replace

from controlplane.scenarios.judge import documents
from controlplane.scenarios.judge.facts import Case

from .journals import PROMISES, SKU, Journal, evidence, truth

POSTED = replace(PROMISES, entries=("revenue", "cogs"))


def test_a_document_with_an_effect_at_each_target_is_not_lost() -> None:
    journal = Journal().document(1, "order", "#1001", ("erp", "wms"))
    journal.effect(2, "erp", "order", "#1001").effect(2, "wms", "order", "#1001")
    assert documents.lost(evidence(journal)) == []


def test_a_document_is_lost_at_each_target_that_lacks_its_effect() -> None:
    journal = Journal().document(1, "order", "#1001", ("erp", "wms")).effect(2, "wms", "order", "#1001")
    [reason] = documents.lost(evidence(journal))
    assert "#1001" in reason
    assert reason.endswith("no effect at erp")


def test_an_effect_of_another_document_with_the_same_reference_does_not_count() -> None:
    journal = Journal().document(1, "receipt", "RCV-1").effect(2, "erp", "return", "RCV-1")
    assert len(documents.lost(evidence(journal))) == 1


def test_a_record_expected_in_quarantine_is_lost_unless_it_is_there() -> None:
    journal = Journal().document(1, "till_sale", "ST1/ST1-000009/1", held=True)
    here = Case("unmapped", '{"store": "ST1", "receipt": "ST1-000009", "line": "1"}', "no such code", "waiting")
    elsewhere = Case("unmapped", '{"store": "ST1", "receipt": "ST1-000010", "line": "2"}', "no such code", "waiting")
    assert documents.lost(evidence(journal, cases=(here,))) == []
    assert len(documents.lost(evidence(journal, cases=(elsewhere,)))) == 1


def test_a_record_in_quarantine_that_nobody_expected_there_is_lost() -> None:
    journal = Journal().document(1, "receipt", "RCV-1")
    assert documents.lost(evidence(journal, cases=(Case("RCV-1", "{}", "refused", "waiting"),)))


def test_a_shipment_without_one_of_its_postings_is_lost() -> None:
    journal = Journal().document(1, "shipment", "SHP-1").effect(2, "erp", "shipment", "SHP-1")
    journal.effect(2, "erp", "posting", "shipment.shipped:SHP-1:revenue")
    assert documents.lost(evidence(journal, promises=POSTED)) == ["shipment SHP-1 has no cogs posting at erp"]


def test_two_effects_of_one_reference_at_one_target_are_applied_twice() -> None:
    journal = (
        Journal().effect(1, "erp", "order", "#1").effect(1, "wms", "order", "#1").effect(3, "wms", "order", "#1", 2)
    )
    assert documents.applied_twice(evidence(journal)) == ["order #1 took effect 2 times at wms"]


def test_the_postings_of_one_shipment_are_two_documents_whatever_their_keys_are_called() -> None:
    journal = Journal().effect(1, "erp", "posting", "a:SHP-1:revenue").effect(1, "erp", "posting", "a:SHP-1:cogs")
    assert documents.applied_twice(evidence(journal)) == []
    journal.effect(2, "erp", "posting", "b:SHP-1:cogs")
    assert documents.applied_twice(evidence(journal)) == ["posting SHP-1 cogs took effect 2 times at erp"]


def test_oversold_units_add_up() -> None:
    journal = (
        Journal().write(1, "oversold", order="#1", sku=SKU, units=2).write(2, "oversold", order="#2", sku=SKU, units=1)
    )
    assert documents.oversold(journal.events) == 3


def test_a_shop_key_that_shows_other_than_what_can_be_sold_is_wrong() -> None:
    store = truth(shop=None, ats=None, location="ST1")
    assert documents.wrong_stock(evidence(Journal(), at_end=[truth(), store])) == []
    assert documents.wrong_stock(evidence(Journal(), at_end=[truth(shop=49), store])) == [
        f"shop shows 49 of {SKU} at WH1; 48 can be sold"
    ]


def test_books_that_lack_only_what_waits_in_quarantine_as_expected_are_right() -> None:
    journal = Journal().document(1, "till_sale", "ST1/R/1", held=True)
    assert documents.wrong_books(evidence(journal, at_end=[truth(wms=47, erp=50)])) == []
    assert documents.wrong_books(evidence(journal, at_end=[truth(wms=50, erp=50)])) == [
        f"erp has 50 of {SKU} at WH1; 50 are there"
    ]
