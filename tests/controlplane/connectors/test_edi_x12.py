"""EDI X12 over a folder: what comes in set by set, what is acknowledged and when, and an order that is handed over once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.builtin.edi_x12.reader import EdiError
from controlplane.connectors.contract import UnsupportedError
from controlplane.connectors.folders import aside_of
from controlplane.connectors.outcomes import AWAITED
from controlplane.errors import BadInputError, SettingsError, UnavailableError
from controlplane.store import Store
from rules.model.messages import parse
from rules.outcomes import Result
from rules.personal import USUAL, masking, shown
from tests.controlplane.connectors.x12_kit import (
    RECEIVED,
    SHIPPED,
    STOCK,
    Bench,
    drafts,
    interchange,
    one_set,
    order,
    pages,
    polled,
    said_997,
)


@pytest.fixture
def bench(tmp_path: Path, sqlite_store: Store) -> Bench:
    return Bench(tmp_path / "partner", sqlite_store)


# --- what comes in ---


def test_a_945_is_a_shipment_of_what_was_shipped_and_not_of_what_was_ordered(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    connector = bench.connector()
    (draft,) = drafts(connector, polled(connector))
    assert (draft.type, draft.subject, draft.dedupe_key) == ("shipment.shipped", "S-77", "shipment.shipped:S-77")
    assert draft.data["lines"] == [{"sku": "SKU-1", "quantity": 2}, {"sku": "SKU-2", "quantity": 1}]
    assert (draft.data["order_ref"], draft.data["carrier"], draft.data["tracking"]) == ("#1001", "UPSN", "1Z999")
    assert draft.data["shipped_at"] == "2026-11-27T06:15:00+00:00"
    parse(draft.type, draft.data)


def test_times_are_of_the_partner_s_zone(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    connector = bench.connector(time_zone="America/Chicago")
    (draft,) = drafts(connector, polled(connector))
    assert draft.data["shipped_at"] == "2026-11-27T12:15:00+00:00"


def test_a_944_is_a_receipt(bench: Bench) -> None:
    bench.drop(interchange(one_set("944", *RECEIVED), group="RE"))
    connector = bench.connector()
    (draft,) = drafts(connector, polled(connector))
    assert (draft.type, draft.data["receipt"], draft.data["purchase_order"]) == ("receipt.received", "R-5", "PO-9")
    assert [line["quantity"] for line in draft.data["lines"]] == [5, 2]
    parse(draft.type, draft.data)


def test_an_846_is_a_record_an_item_so_that_one_without_a_count_keeps_no_other_back(bench: Bench) -> None:
    bench.drop(interchange(one_set("846", *STOCK[:-1], "LIN**VN*SKU-3", "QTY*QH*1*EA", STOCK[-1]), group="IB"))
    connector = bench.connector()
    first, second, third = polled(connector)
    (level,) = drafts(connector, [first])
    assert (level.subject, level.source_version) == ("SKU-1@DC3", "2026-11-27T06:00:00+00:00")
    assert [level.data[name] for name in ("on_hand", "available", "allocated", "in_transit")] == [40, 38, 2, 0]
    parse(level.type, level.data)
    assert drafts(connector, [second])[0].data["on_hand"] == 7
    with pytest.raises(EdiError, match=r"^segment 12 \(LIN\), .*nothing is not zero"):
        connector.translate(third.topic, third.body)


def test_a_head_without_end_is_not_repeated_for_each_item(bench: Bench) -> None:
    notes = [f"REF*ZZ*{number}" for number in range(200)]
    bench.drop(interchange(one_set("846", *STOCK[:2], *notes, *STOCK[2:]), group="IB"))
    connector = bench.connector()
    (record,) = polled(connector)
    assert [(one.data["sku"], one.data["on_hand"]) for one in drafts(connector, [record])] == [
        ("SKU-1", 40),
        ("SKU-2", 7),
    ]


def test_an_856_is_a_shipment_for_each_order_in_it(bench: Bench) -> None:
    lines = (
        "BSN*00*S-9*20261127*0600*0001", "HL*1**S", "TD5**2*UPSN", "REF*CN*1Z5", "DTM*011*20261127*0700", "N1*SF**ZZ*DC3",
        "HL*2*1*O", "PRF*#1", "HL*3*2*I", "LIN**VN*SKU-1", "SN1**2*EA", "HL*4*1*O", "PRF*#2", "HL*5*4*I", "LIN**VN*SKU-2", "SN1**1*EA",
        "CTT*5",
    )  # fmt: skip
    bench.drop(interchange(one_set("856", *lines), group="SH"))
    connector = bench.connector()
    found = drafts(connector, polled(connector))
    assert [(one.subject, one.data["order_ref"], one.data["lines"]) for one in found] == [
        ("S-9/#1", "#1", [{"sku": "SKU-1", "quantity": 2}]),
        ("S-9/#2", "#2", [{"sku": "SKU-2", "quantity": 1}]),
    ]
    assert {one.data["tracking"] for one in found} == {"1Z5"}


def test_an_856_without_an_order_is_refused_with_its_place(bench: Bench) -> None:
    bench.drop(interchange(one_set("856", "BSN*00*S-9*20261127*0600*0001", "HL*1**S"), group="SH"))
    connector = bench.connector()
    (record,) = polled(connector)
    with pytest.raises(EdiError, match=r"^segment 5 \(HL\), .*: no HL of level O names an order"):
        connector.translate(record.topic, record.body)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (one_set("945", *SHIPPED, control="0002", count=99), r"element SE01, .*: SE01 counts '99' segments"),
        (one_set("945", *SHIPPED, control="0002", trailer="0009"), r"ST02 is '0002' and SE02 '0009'"),
        (one_set("945", SHIPPED[0], control="0002"), "the set has no W12"),
        (
            one_set("945", *SHIPPED[:-4], "W12*CC*x*2*1*EA**VN*SKU-1", control="0002"),
            r"element W1202, .*: 'x' is no number",
        ),
        (
            one_set("945", "W06*N*#1*20261327*S-1", "W12*CC*1*1", control="0002"),
            r"element W0603, .*: '20261327' is no date",
        ),
        (one_set("810", "BIG*20261127*1", control="0002"), "the set 810 is not one that is read here"),
    ],
    ids=["count", "control number", "no line", "quantity", "date", "other set"],
)
def test_a_bad_set_is_refused_with_its_place_and_its_neighbours_are_taken(bench: Bench, bad: str, told: str) -> None:
    other = (SHIPPED[0].replace("S-77", "S-78"), *SHIPPED[1:])
    bench.drop(interchange(one_set("945", *SHIPPED), bad, one_set("945", *other, control="0003")))
    connector = bench.connector()
    first, second, third = polled(connector)
    with pytest.raises(BadInputError, match=told):
        connector.translate(second.topic, second.body)
    assert [draft.subject for draft in drafts(connector, [first, third])] == ["S-77", "S-78"]
    (said,) = bench.said()
    assert said.count("AK5*A~") == 2
    assert said.count("AK5*R*") == 1
    assert "AK9*P*3*3*2~" in said


def test_a_refusal_tells_segment_and_element_to_the_partner(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", "W06*N*#1*20261327*S-1", "LX*1", "W12*CC*1*y")))
    polled(bench.connector())
    (said,) = bench.said()
    assert "AK3*W06*2**8~\nAK4*3**8~\nAK3*W12*4**8~\nAK4*3**6~\nAK5*R*5~\nAK9*R*1*1*0~" in said


def test_a_corrected_record_is_read(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED, count=99)))
    connector = bench.connector()
    (record,) = polled(connector)
    corrected = {**json.loads(record.body), "refused": ""}
    assert connector.translate(record.topic, json.dumps(corrected).encode())[0].subject == "S-77"


def test_what_misses_for_business_only_is_acknowledged_and_refused(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", "W06*N*#1*20261127", *SHIPPED[1:])))
    connector = bench.connector()
    (record,) = polled(connector)
    with pytest.raises(EdiError, match=r"element W0604, .*: the number of the shipment is missing"):
        connector.translate(record.topic, record.body)
    assert "AK5*A~" in bench.said()[0]


def test_what_tells_of_a_person_is_known_as_such(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    connector = bench.connector()
    (record,) = polled(connector)
    seen = json.dumps(shown(json.loads(record.body), USUAL, masking).value)
    for secret in ("Ada Lovelace", "Analytical", "London"):
        assert secret in record.body.decode()
        assert secret not in seen
    assert "#1001" in seen
    assert "Ada" not in json.dumps(drafts(connector, [record])[0].data)


def test_a_stranger_is_not_taken_and_not_answered(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED), sender="SOMEBODY"))
    bench.drop(interchange(one_set("945", *SHIPPED), usage="T"), "b.edi")
    connector = bench.connector()
    stranger, test = polled(connector)
    with pytest.raises(BadInputError, match="is from ZZ/SOMEBODY to ZZ/RETAILER"):
        connector.translate(stranger.topic, stranger.body)
    with pytest.raises(BadInputError, match="ISA15 is 'T'"):
        connector.translate(test.topic, test.body)
    assert bench.said() == []


def test_a_torn_envelope_refuses_its_group_only(bench: Bench) -> None:
    good, bad = (
        interchange(one_set("945", *SHIPPED)),
        interchange(one_set("944", *RECEIVED), group="RE", control=2, count=7),
    )
    bench.drop(good + bad)
    connector = bench.connector()
    first, second = polled(connector)
    assert drafts(connector, [first])[0].subject == "S-77"
    with pytest.raises(BadInputError, match="GE01 counts '7' sets, and there are 1"):
        connector.translate(second.topic, second.body)
    assert "AK9*R*7*1*0*5~" in bench.said()[1]


# --- files ---


def test_a_file_that_is_still_written_waits_and_one_that_stays_broken_is_refused(bench: Bench) -> None:
    whole = interchange(one_set("945", *SHIPPED))
    bench.drop(whole[:300])
    connector = bench.connector()
    first = pages(connector)
    assert [record for page in first for record in page.records] == []
    bench.drop(whole)
    assert len(polled(connector, first[-1].cursor)) == 1
    bench.drop(whole[:300], "b.edi")
    grown = pages(connector, first[-1].cursor)
    (record,) = [one for one in polled(connector, grown[-1].cursor) if one.headers["file"] == "b.edi"]
    with pytest.raises(BadInputError, match=r"^segment .*character .*the file breaks off"):
        connector.translate(record.topic, record.body)


def test_files_that_are_being_written_are_not_looked_at(bench: Bench) -> None:
    for name in (".a.edi.part", "a.tmp", "a.filepart"):
        bench.drop(interchange(one_set("945", *SHIPPED)), name)
    assert polled(bench.connector()) == []


def test_a_file_is_read_once_and_put_away_after_the_commit(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    connector = bench.connector(archive="archive")
    walk = connector.poll("interchanges", None)
    page = next(walk)
    assert (bench.root / "in" / "a.edi").exists()
    rest = list(walk)
    assert (bench.root / "archive" / "a.edi").exists()
    assert polled(connector, (rest or [page])[-1].cursor) == []


def test_a_folder_that_is_not_there_is_not_an_empty_one(bench: Bench) -> None:
    with pytest.raises(UnavailableError, match="create or mount the folder"):
        bench.connector(inbox="nowhere").ping()


def test_other_entities_are_not_polled(bench: Bench) -> None:
    with pytest.raises(UnsupportedError):
        list(bench.connector().poll("orders", None))


# --- acknowledging ---


def test_nothing_is_acknowledged_before_it_is_committed(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    walk = bench.connector().poll("interchanges", None)
    next(walk)
    assert bench.said() == []
    next(walk)
    assert len(bench.said()) == 1


def test_an_acknowledgement_that_a_crash_prevented_is_sent_at_the_next_poll(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    committed = next(bench.connector().poll("interchanges", None)).cursor  # and the process is gone
    assert polled(bench.connector(), json.loads(json.dumps(committed))) == []
    (said,) = bench.said()
    assert "AK1*SW*1~" in said


def test_the_same_interchange_again_is_acknowledged_again_and_is_the_same_record(bench: Bench) -> None:
    told = interchange(one_set("945", *SHIPPED))
    bench.drop(told)
    connector = bench.connector()
    first = pages(connector)
    (bench.root / "out" / "997_000000001.x12").unlink()  # the partner took it, and asks again
    bench.drop(told, "again.edi")
    second = [record for page in pages(connector, first[-1].cursor) for record in page.records]
    assert [record.event_key for record in second] == [record.event_key for record in first[0].records]
    assert len(bench.said()) == 1


def test_the_same_control_number_with_another_content_is_an_alarm_and_applied_never(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    connector = bench.connector()
    first = pages(connector)
    other = (SHIPPED[0].replace("S-77", "S-78"), *SHIPPED[1:])
    bench.drop(interchange(one_set("945", *other)), "b.edi")
    (record,) = [record for page in pages(connector, first[-1].cursor) for record in page.records]
    with pytest.raises(BadInputError, match="ISA13 000000001 came before with another content"):
        connector.translate(record.topic, record.body)
    assert "TA1*000000001*261127*0600*R*025~" in bench.said()[1]


def test_acknowledgements_are_not_acknowledged_and_make_no_message(bench: Bench) -> None:
    bench.drop(said_997(7))
    connector = bench.connector()
    assert drafts(connector, polled(connector)) == []
    assert bench.said() == []


def test_a_ta1_is_sent_when_it_is_asked_for(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED), asks="1"))
    polled(bench.connector())
    assert "TA1*000000001*261127*0600*A*000~" in bench.said()[0]


def test_a_partner_who_wants_no_acknowledgement_gets_none(bench: Bench) -> None:
    bench.drop(interchange(one_set("945", *SHIPPED)))
    polled(bench.connector(acknowledge=False))
    assert bench.said() == []


# --- an order ---


def test_an_order_is_handed_over_whole_and_waits_for_its_997(bench: Bench) -> None:
    connector = bench.connector()
    outcome = connector.write(order())
    assert (outcome.result, outcome.native_id) == (Result.UNKNOWN, "000000001")
    assert outcome.evidence[AWAITED] == "997"
    (said,) = bench.said("940")
    assert said.startswith(
        "ISA*00*          *00*          *ZZ*RETAILER       *ZZ*WAREHOUSE      *261127*0600*U*00401*000000001*0*P*>~\n"
    )
    for line in (
        "GS*OW*RETAILER*WAREHOUSE*20261127*0600*1*X*004010",
        "W05*N*#1001*900001",
        "N1*WH**ZZ*DC3",
        "W01*3*EA**VN*SKU-1",
        "W76*3",
    ):
        assert f"{line}~\n" in said
    assert [path.name for path in (bench.root / "out").iterdir()] == ["940_000000001.x12"]


def test_it_is_delivered_when_the_partner_accepts_it(bench: Bench) -> None:
    connector = bench.connector()
    connector.write(order())
    assert connector.read_back(order()).result is Result.UNKNOWN
    bench.drop(said_997(1))
    told = connector.read_back(order())
    assert (told.result, told.native_id) == (Result.ALREADY_DELIVERED, "000000001")


def test_a_997_is_found_where_it_was_put_away(bench: Bench) -> None:
    connector = bench.connector(archive="archive")
    connector.write(order())
    bench.drop(said_997(1))
    polled(connector)
    assert connector.read_back(order()).result is Result.ALREADY_DELIVERED


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ("AK2*940*0001", "AK3*W01*8**8", "AK4*5**7*SKU-1", "AK5*R*5", "AK9*R*1*1*0"),
            r"AK5 R\): segment 8 \(W01\), element 5: invalid code \(7\); segments in error \(5\)",
        ),
        (("AK9*R*1*1*0",), r"AK9 R\)"),
    ],
    ids=["set", "group"],
)
def test_a_997_that_refuses_tells_segment_and_element(bench: Bench, lines: tuple[str, ...], told: str) -> None:
    import re

    connector = bench.connector()
    connector.write(order())
    bench.drop(said_997(1, *lines))
    outcome = connector.read_back(order())
    assert outcome.result is Result.REJECTED
    assert re.search(told, outcome.detail)


def test_a_ta1_that_refuses_refuses_the_order(bench: Bench) -> None:
    connector = bench.connector()
    connector.write(order())
    bare = interchange(control=600).decode().splitlines()
    bench.drop("\n".join([bare[0], "TA1*000000001*261127*0600*R*006~", "IEA*1*000000600~"]).encode())
    assert "TA1 006" in connector.read_back(order()).detail


def test_accepted_with_errors_is_accepted_and_says_so(bench: Bench) -> None:
    connector = bench.connector()
    connector.write(order())
    bench.drop(said_997(1, "AK2*940*0001", "AK3*N1*4**2", "AK5*E*5", "AK9*E*1*1*1"))
    outcome = connector.read_back(order())
    assert outcome.result is Result.ALREADY_DELIVERED
    assert "segment 4 (N1): unexpected segment (2)" in outcome.detail


def test_an_acknowledgement_of_somebody_else_says_nothing_of_ours(bench: Bench) -> None:
    connector = bench.connector()
    connector.write(order())
    bench.drop(said_997(1).replace(b"WAREHOUSE      ", b"SOMEBODY       "))
    bench.drop(said_997(2), "b.edi")
    bench.drop(said_997(1).replace(b"AK1*OW", b"AK1*SW"), "c.edi")
    assert connector.read_back(order()).result is Result.UNKNOWN


def test_it_is_looked_for_less_and_less_often(bench: Bench) -> None:
    connector = bench.connector()
    connector.write(order())
    asked: list[Any] = []
    for seconds in (30, 570, 9000):
        bench.clock.advance(seconds)
        asked.append(connector.read_back(order()).retry_after)
    assert asked == [15.0, 150.0, 900.0]


def test_written_again_it_is_not_handed_over_again(bench: Bench) -> None:
    bench.connector().write(order())
    assert bench.connector().write(order()).result is Result.UNKNOWN
    assert len(bench.said("940")) == 1
    (bench.root / "out" / "940_000000001.x12").unlink()  # the partner took it
    assert bench.connector().write(order()).result is Result.UNKNOWN
    assert bench.said("940") == []


def test_one_that_was_refused_gets_another_control_number(bench: Bench) -> None:
    bench.connector().write(order())
    bench.drop(said_997(1, "AK9*R*1*1*0"))
    assert bench.connector().write(order()).native_id == "000000002"
    assert bench.connector().read_back(order()).result is Result.UNKNOWN
    bench.drop(said_997(2, number=501), "b.edi")
    assert bench.connector().read_back(order()).result is Result.ALREADY_DELIVERED


def test_control_numbers_are_never_given_twice_by_any_process(bench: Bench) -> None:
    for number in range(4):
        bench.connector().write(order(f"delivery-{number}", f"#{number}"))
    bench.drop(interchange(one_set("945", *SHIPPED)))
    polled(bench.connector())
    told = [text.splitlines()[0].split("*")[13] for text in bench.said("9*")]
    assert sorted(told) == [f"{number:09d}" for number in range(1, 6)]


def test_who_takes_over_from_another_translator_goes_on_with_its_numbers_and_wraps(bench: Bench) -> None:
    connector = bench.connector(first_control=999_999_998)
    told = [connector.write(order(f"delivery-{number}", f"#{number}")).native_id for number in range(3)]
    assert told == ["999999998", "999999999", "000000001"]
    bench.drop(said_997(1))
    assert connector.read_back(order("delivery-2", "#2")).result is Result.ALREADY_DELIVERED


@pytest.mark.parametrize("died", ["before all", "number taken", "written aside", "about to rename"])
def test_a_crash_before_the_name_is_given_proves_that_nothing_was_handed_over(bench: Bench, died: str) -> None:
    connector = bench.connector()
    numbers = connector.context.numbers
    path = bench.root / "out" / "940_000000001.x12"
    if died != "before all":
        numbers.take("control", "delivery-1")
    if died in ("written aside", "about to rename"):
        Path(aside_of(str(path))).write_bytes(b"ISA*half")
    if died == "about to rename":
        numbers.use("control", "delivery-1")
    assert bench.connector().read_back(order()).result is Result.ABSENT
    assert bench.connector().write(order()).native_id == "000000001"
    assert bench.said("940")[0].endswith("IEA*1*000000001~\n")
    assert not Path(aside_of(str(path))).exists()


def test_a_crash_after_the_name_was_given_is_known_too(bench: Bench) -> None:
    bench.connector().write(order())
    (bench.root / "out" / "940_000000001.x12").unlink()  # and the partner was quick
    outcome = bench.connector().read_back(order())
    assert outcome.result is Result.UNKNOWN
    assert "the partner took it, and no 997 has come" in outcome.detail


def test_an_outbox_that_is_not_there_leaves_the_order_waiting(bench: Bench) -> None:
    outcome = bench.connector(outbox="nowhere").write(order())
    assert outcome.result is Result.UNAVAILABLE
    assert bench.connector().read_back(order()).result is Result.ABSENT


def test_a_partner_who_sends_no_997_is_believed_when_policy_says_so(bench: Bench) -> None:
    connector = bench.connector(await_997=False)
    assert connector.write(order()).result is Result.DELIVERED
    assert connector.read_back(order()).result is Result.ALREADY_DELIVERED


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ref": "#1*2"}, "W0502 would hold '\\*', which separates"),
        ({"ref": "x" * 23}, "W0502 takes 1 to 22 characters"),
        (
            {"lines": [{"line": n, "sku": "A", "location": f"DC{n}", "quantity": 1} for n in (1, 2)]},
            "names 2 locations",
        ),
    ],
)
def test_an_order_that_a_940_cannot_hold_is_refused_with_the_element(
    bench: Bench, change: dict[str, Any], told: str
) -> None:
    import re

    outcome = bench.connector().write(order(**change))
    assert outcome.result is Result.REJECTED
    assert re.search(told, outcome.detail)
    assert list((bench.root / "out").iterdir()) == []


def test_the_profile_decides_how_it_is_written(bench: Bench) -> None:
    marks = {"element": "|", "segment": "}", "component": ":", "repetition": "^", "newline": False}
    bench.connector(
        separators=marks, version="005010", usage="T", us={"qualifier": "01", "id": "US1", "group": "USG"}
    ).write(order())
    (said,) = bench.said("940")
    assert "|01|US1            |ZZ|WAREHOUSE      |261127|0600|^|00501|000000001|0|T|:}GS|OW|USG|WAREHOUSE|" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"us": {"id": "x" * 16}}, "options.us: nobody is named"),
        ({"separators": {"element": "~"}}, "two separators are the same"),
        ({"version": "003010"}, "no such version is written"),
        ({"outbox": "../elsewhere"}, "it is no folder within the endpoint"),
        ({"time_zone": "Mars/Olympus"}, "there is no such time zone"),
        ({"stock": {"reserved": ["QR"]}}, "it is no table of counts"),
    ],
)
def test_a_profile_with_a_flaw_is_refused(bench: Bench, options: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        bench.connector(**options)
