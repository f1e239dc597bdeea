"""What of a record tells of a person, and the record without it."""

from __future__ import annotations

from typing import Any

import pytest

from rules.personal import MASK, USUAL, Personal, Shown, given_back, hiding, masking, scrubbed, shown, without_addresses
from rules.policy.kinds import Showing

ORDER: dict[str, Any] = {
    "id": 7, "name": "#1001", "email": "anna@example.org", "note": None, "buyer_accepts_marketing": True,
    "customer": {"id": 77665544, "email": "anna@example.org", "first_name": "Anna"},
    "shipping_address": {"name": "Anna L", "city": "Ulm", "phone": "+49 1579 9887766"},
    "line_items": [{"sku": "A-1", "quantity": 2, "price": "9.90"}],
}  # fmt: skip


WHOLE: dict[str, Any] = {
    "id": 820982911946154508, "admin_graphql_api_id": "gid://shopify/Order/820982911946154508", "name": "#1001", "number": 1,
    "order_number": 1001, "currency": "USD", "total_price": "19.80", "financial_status": "paid", "location_id": 655441491,
    "email": "zoe.planted@mail.example", "contact_email": "zoe.planted@mail.example", "phone": "+49 151 planted",
    "note": "planted: leave it at the door", "note_attributes": [{"name": "gift_to", "value": "planted"}], "tags": "planted, vip",
    "browser_ip": "203.0.113.77 planted", "cart_token": "planted", "checkout_token": "planted", "token": "planted",
    "landing_site": "/?email=planted", "landing_site_ref": "planted", "referring_site": "https://planted.example",
    "order_status_url": "https://shop.example/1/orders/planted/authenticate?key=planted",
    "client_details": {"user_agent": "planted", "session_hash": "planted", "browser_ip": "planted", "accept_language": "planted"},
    "payment_details": {"credit_card_name": "planted", "credit_card_number": "•••• 4242 planted", "credit_card_bin": "planted"},
    "customer": {
        "id": 115310627314723954, "first_name": "planted", "last_name": "planted", "note": "planted", "tags": "planted",
        "default_address": {"company": "planted", "address1": "planted", "zip": "planted"},
    },
    "billing_address": {"name": "planted", "address2": "planted", "latitude": "52.planted", "company": "planted"},
    "shipping_address": {"name": "planted", "city": "planted", "province": "planted", "phone": "planted"},
    "line_items": [
        {"id": 1, "sku": "A-1", "quantity": 2, "price": "9.90", "properties": [{"name": "engraving", "value": "planted"}]}
    ],
    "fulfillments": [{"id": 255858046, "receipt": {}, "destination": {"address1": "planted", "last_name": "planted"}}],
}  # fmt: skip
"""An order as Shopify sends it, with `planted` wherever it tells of a person or lets somebody in."""


def telling(showing: Showing, value: Any) -> str:
    """Stand in for keys."""
    return f"{showing}({value[::-1]})" if showing == "hash" else MASK


def test_the_usual_fields_are_hidden_though_policy_says_nothing_and_business_fields_stay() -> None:
    found = shown(ORDER, USUAL, telling).value
    assert found["email"] == found["customer"]["email"] == "hash(gro.elpmaxe@anna)", "equal customers are told"
    assert found["customer"]["first_name"] == found["shipping_address"]["name"] == MASK
    assert found["shipping_address"]["phone"] == "hash(6677889 9751 94+)"
    for name in ("id", "name", "note", "buyer_accepts_marketing", "line_items"):
        assert found[name] == ORDER[name]


def test_a_whole_order_of_the_shop_keeps_its_business_and_nothing_of_the_person() -> None:
    found = shown(WHOLE, USUAL, masking).value
    assert "planted" not in str(found).lower()
    for name in ("id", "admin_graphql_api_id", "name", "number", "total_price", "financial_status", "location_id"):
        assert found[name] == WHOLE[name]
    assert {name: found["line_items"][0][name] for name in ("id", "sku", "quantity", "price")} == {
        "id": 1, "sku": "A-1", "quantity": 2, "price": "9.90",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "buyerEmail", "BuyerName", "BuyerInfo", "buyer-phone-number", "recipient-name", "ship-address-1",
        "shippingAddress_text", "customerName", "customer_firstname", "customer_lastname", "customerFirstName", "customer_dob",
        "customer_taxvat", "x_forwarded_for",
        "HouseNumber", "CityName", "MobilePhoneNumber", "FaxNumber", "BusinessPartnerFullName", "contactName", "givenName", "familyName",
        "taxId", "vatNumber", "cardNumber", "clientIp", "userAgent", "giftMessage", "customerNote", "dateOfBirth", "attention",
        "billing_details", "Date Of Birth", "Contact.Name", "accessToken", "IBAN",
        "shipAddressee", "shipAttention", "ship_city", "billZip", "ShipAddr1", "addr2", "post_code", "phone1", "shipPhone2", "emails",
        "TelephoneNumber", "nickname", "PersonName", "receiverName", "shopperName", "payer_id", "consignee_name", "OrganizationBPName1",
        "BusinessPartnerName", "cashierName", "signedBy", "received_by", "card_holder", "bankAccountNumber", "national_id", "gender",
        "userName", "deliveryInstructions", "customer_comments", "comment", "sessionId",
    ],
)  # fmt: skip
def test_a_usual_name_is_known_however_its_words_are_joined(name: str) -> None:
    assert "planted" not in str(shown({"id": 7, name: "planted"}, USUAL, masking).value)


def test_names_of_goods_and_places_are_no_names_of_people() -> None:
    body = {
        "displayName": "Shirt", "productName": "Shirt", "locationName": "WH1", "SalesOrganization": "1010", "itemId": 7,
        "orderEmailed": True,
        "shipMethod": "DHL", "addressed": 0, "IPO": "A", "ticketId": "T-1", "unitPrice": "9.90", "taxIdentified": "no", "customerId": 9,
        "accountNumber": "4000", "shipToLocation": "WH2", "company": "1010", "receiver": "0088", "capacity": 7, "phoned": 1, "cancel": "x",
    }  # fmt: skip
    found = shown(body, USUAL, masking)
    assert found.value == body | {"addressed": MASK}, "`address*` has always been meant widely"


@pytest.mark.parametrize(
    "body",
    [
        {"sku": "A", "location": "WH1", "on_hand": 3},
        {"ref": "#1", "lines": [{"line": 1, "native_id": "L1"}]},
        {"email": "", "phone": None, "customer": {}},
    ],
)
def test_a_record_without_personal_data_is_left_as_it_is(body: Any) -> None:
    found = shown(body, USUAL, masking)
    assert found.value is body or found.value == body
    assert found.hidden == ()


@pytest.mark.parametrize(
    ("own", "path", "showing"),
    [
        ({}, "body.lines[0].buyer_email", "hash"),
        ({"loyalty_*": "hash"}, "body.loyalty_card", "hash"),
        ({"lines[*].engraving": "mask"}, "body.lines[3].engraving", "mask"),
        ({"lines[*].engraving": "mask"}, "body.engraving", None),
        ({"email": "mask"}, "body.email", "mask"),
        ({"email": "show"}, "body.email", None),
        ({"customer.id": "show"}, "body.customer.id", None),
        ({"customer.id": "show"}, "body.customer.first_name", "mask"),
        ({"*": "show", "email": "mask"}, "body.email", "mask"),
        ({}, "body.line_items[0].sku", None),
        ({}, "body.shippingAddress.country", "mask"),
    ],
)
def test_a_systems_own_patterns_go_before_what_is_shipped(
    own: dict[str, Showing], path: str, showing: Showing | None
) -> None:
    assert Personal(own).at(path) == showing


def test_an_address_is_masked_where_it_stands_again_under_another_name() -> None:
    body = {"email": "anna@example.org", "city": "Ulm", "status_url": "https://x/?of=anna@example.org", "store": "Ulm"}
    found = shown(body, USUAL, masking).value
    assert (found["status_url"], found["store"]) == (f"https://x/?of={MASK}", "Ulm")


@pytest.mark.parametrize(
    "body",
    [
        {"ship_to": {"name": "planted", "country": "US"}}, {"shipTo": {"Name": "planted"}}, {"order": {"billing": {"company": "planted"}}},
        {"lines": [{"bill_to": [{"full_name": "planted"}]}]}, {"owner": {"displayName": "planted"}}, {"entity": {"refName": "planted"}},
        {"place": {"name": "planted", "zip": "planted"}}, {"name": "planted", "street": ["planted"]},
        {"header": "store;Name;Street", "row": "ST1;planted;planted"}, {"header": "Name;Street;City", "row": "planted;planted"},
        {"error": "nobody is called anna.planted@mail.example here"},
    ],
)  # fmt: skip
def test_a_bare_name_is_personal_in_an_address_and_in_what_is_of_somebody(body: Any) -> None:
    assert "planted" not in str(shown(body, USUAL, masking).value)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "#1001", "email": ""}, {"location": {"name": "WH1"}}, {"lines": [{"name": "Shirt"}]}, {"company": "1010"},
        {"shipping": "4.90", "delivery": {"code": "express"}}, {"ship_to": {"country": "US", "region": "NY"}}, {"sku": "A@WH1"},
    ],
)  # fmt: skip
def test_a_bare_name_of_a_thing_and_the_country_of_an_address_stay(body: Any) -> None:
    assert shown(body, USUAL, masking) == Shown(body, ())


def test_a_systems_own_pattern_shows_a_bare_name_again() -> None:
    body = {"ship_to": {"name": "Depot North"}}
    for own in ("ship_to.name", "ship_to", "name"):
        assert shown(body, Personal({own: "show"}), masking).value == body
    assert Personal().at("body.ship_to.name") == "mask"


def test_a_long_word_costs_no_more_than_it_is_long() -> None:
    """What looks for addresses once began anew at every letter: 60,000 took ten seconds, and these would take hours."""
    word = "a" * 2_000_000
    assert shown({"email": word, "text": f"{word} @"}, USUAL, masking).value == {"email": MASK, "text": f"{word} @"}


def test_many_values_are_found_in_many_fields_in_the_time_that_it_takes_to_read_them() -> None:
    """Each was once looked for in each: of 25,000 customers that took two minutes."""
    numbers = [f"+49157{number:08d}" for number in range(25_000)]
    body = [{"phone": number, "text": f"call {number} or {number[:-1]}"} for number in numbers] + [
        {"phone": "7654321", "text": MASK}
    ]
    found = shown(body, USUAL, masking).value
    assert found[7] == {"phone": MASK, "text": f"call {MASK} or +49157{7:08d}"[:-1]}
    assert not [one for one in found if one["text"].count(MASK) != 1]


def test_of_values_that_begin_alike_the_longest_is_masked_and_nothing_is_left_of_it() -> None:
    mask = hiding(["1234567", "12345678", "anna@b.de", "anna@b.de.example"])
    assert mask("12345678, 1234567 and anna@b.de.example, 123456") == f"{MASK}, {MASK} and {MASK}, 123456"
    assert hiding([])("anna") == "anna"


def test_a_till_row_is_hidden_by_its_columns() -> None:
    body = {"file": "f.csv", "line": 2, "header": "store;Email;plu", "row": "ST1;anna@example.org;900007"}
    assert shown(body, USUAL, masking).value == {**body, "row": f"ST1;{MASK};900007"}


def test_a_row_that_does_not_fit_a_header_with_a_personal_column_is_hidden_whole() -> None:
    body = {"header": "store;email;plu", "row": "ST1;anna@example.org;900007;more"}
    found = shown(body, USUAL, masking)
    assert found.value["row"] == MASK
    assert "anna@example.org" in found.hidden
    plain = {"header": "store;plu", "row": "ST1;900007;more"}
    assert shown(plain, USUAL, masking).value == plain


def test_words_about_a_record_lose_its_personal_values_and_keep_short_numbers() -> None:
    hidden = ("anna@example.org", "Ulm", "7")
    text = "line 7: 'anna@example.org' of Ulm is no amount; Ulmer stays"
    assert scrubbed(text, hidden) == f"line 7: '{MASK}' of {MASK} is no amount; Ulmer stays"


def test_running_text_loses_addresses_and_keeps_stock_keys() -> None:
    assert without_addresses("no customer anna@example.org for SKU-1@WH1") == f"no customer {MASK} for SKU-1@WH1"


def test_what_a_person_could_not_see_stays_when_they_send_the_record_back() -> None:
    seen = shown(ORDER, USUAL, masking).value
    sent = {**seen, "line_items": [{**seen["line_items"][0], "sku": "A-2"}]}
    assert given_back(sent, seen, ORDER) == {**ORDER, "line_items": [{**ORDER["line_items"][0], "sku": "A-2"}]}
    assert given_back({**seen, "email": "new@example.org"}, seen, ORDER)["email"] == "new@example.org"


def test_a_placeholder_where_nothing_was_hidden_is_refused() -> None:
    with pytest.raises(ValueError, match="name: '•••' stands for a value that is not shown; leave the field"):
        given_back({"name": MASK}, {"name": "#1001"}, {"name": "#1001"})
