"""Which fields of a record tell of a person, and the record without them: masked, or hashed so that equal ones can be matched. Pure.

A field is named by a pattern, as in a correction: by name wherever it stands (`email`, `*phone*`; `buyer_email` is `buyerEmail` and
`Buyer-Email` too), or by its path from the top of the record's body (`customer.note`, `lines[*].recipient`). Everything beneath a named
field is meant too. A System's own patterns go before those that are shipped; of each, a path before a name, and a name before one
with `*`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from rules import rows
from rules.correction import gathered, spread
from rules.paths import meant, segments
from rules.policy.kinds import Showing

MASK = "•••"
"""Stands for a value that is not shown."""
SHIPPED: Mapping[str, Showing] = MappingProxyType({
    "email": "hash", "e_mail": "hash", "e-mail": "hash", "*_email": "hash", "*email_address": "hash", "*emailaddress": "hash",
    "phone": "hash", "phone_number": "hash", "phonenumber": "hash", "*_phone": "hash", "*_phone_number": "hash", "telephone": "hash",
    "mobile": "hash", "*_mobile": "hash", "mobile_number": "hash", "fax": "hash", "fax_number": "hash",
    "first_name": "mask", "firstname": "mask", "last_name": "mask", "lastname": "mask", "full_name": "mask", "fullname": "mask",
    "middle_name": "mask", "surname": "mask", "given_name": "mask", "family_name": "mask", "customer_name": "mask",
    "*_first_name": "mask", "*_firstname": "mask", "*_last_name": "mask", "*_lastname": "mask", "*_middlename": "mask",
    "*_full_name": "mask", "buyer_name": "mask", "shipping_name": "mask", "billing_name": "mask",
    "ship_to_name": "mask", "bill_to_name": "mask",
    "sold_to_party_name": "mask", "party_name": "mask", "contact_person*": "mask", "attention": "mask", "attn": "mask",
    "buyer_info": "mask", "customer_info": "mask", "customer_details": "mask", "billing_details": "mask", "shipping_details": "mask",
    "recipient*": "mask", "addressee": "mask", "contact": "mask", "contact_name": "mask", "consignee": "mask",
    "customer": "mask", "buyer": "mask", "shopper": "mask", "address*": "mask", "*address": "mask", "*_addresses": "mask",
    "*_address_*": "mask", "city_name": "mask", "housenumber": "mask", "door_code": "mask",
    "street*": "mask", "house_number": "mask", "city": "mask", "zip": "mask", "zip_code": "mask", "zipcode": "mask",
    "postal_code": "mask", "postalcode": "mask", "postcode": "mask", "latitude": "mask", "longitude": "mask",
    "note": "mask", "notes": "mask", "*_note": "mask", "note_attributes": "mask", "gift_message": "mask", "customer_comment": "mask",
    "ip": "mask", "*_ip": "mask", "*forwarded_for": "mask", "client_details": "mask", "user_agent": "mask",
    "birth*": "mask", "date_of_birth": "mask", "dob": "mask", "*_dob": "mask",
    "iban": "mask", "card_number": "mask", "tax_id": "mask", "vat_number": "mask", "vat_id": "mask", "*taxvat": "mask", "cc_owner": "mask",
    "credit_card*": "mask", "payment_details": "mask", "cardholder*": "mask", "session_hash": "mask",
    "properties": "mask", "custom_attributes": "mask", "customattributes": "mask", "personalization": "mask", "tags": "mask",
    "order_status_url": "mask", "statuspageurl": "mask", "token": "mask", "*_token": "mask", "landing_site*": "mask",
    "landingpage*": "mask", "referring_site": "mask", "referrer*": "mask",
    "emails": "hash", "email_addresses": "hash", "phones": "hash", "phone_numbers": "hash", "phone1": "hash", "phone2": "hash",
    "*_phone1": "hash", "*_phone2": "hash", "telephone*": "hash", "*_telephone": "hash", "tel": "hash", "tel_no": "hash", "cell": "hash",
    "cellphone": "hash", "whatsapp": "hash", "username": "mask", "user_name": "mask", "login": "mask", "nickname": "mask",
    "salutation": "mask", "care_of*": "mask", "person_name": "mask", "*_person_name": "mask", "receiver_name": "mask", "payer*": "mask",
    "shopper*": "mask", "consignee*": "mask", "shipto_name": "mask", "billto_name": "mask", "deliver_to_name": "mask",
    "*addressee": "mask", "*_attention": "mask", "*_attn": "mask", "attention_to": "mask", "attn_to": "mask",
    "business_partner_name*": "mask", "*_bp_name*": "mask", "cashier*": "mask", "employee_name": "mask", "salesperson*": "mask",
    "staff_name": "mask", "signed_by": "mask", "received_by": "mask", "signature_image": "mask", "addr": "mask", "addr?": "mask",
    "*_addr": "mask", "*_addr?": "mask", "*_street": "mask", "*_street?": "mask", "*_city": "mask", "*_zip": "mask", "*_zip_code": "mask",
    "*_zipcode": "mask", "zip5": "mask", "post_code": "mask", "postal": "mask", "*_postcode": "mask", "*_post_code": "mask",
    "*_postal_code": "mask", "*_postalcode": "mask", "apartment": "mask", "apt": "mask", "suburb": "mask", "gender": "mask",
    "passport*": "mask", "national_id": "mask", "ssn": "mask", "social_security*": "mask", "tax_number": "mask", "taxid": "mask",
    "nif": "mask", "bank_account*": "mask", "card_holder*": "mask", "account_holder*": "mask", "holder_name": "mask",
    "*_holder_name": "mask", "cookie*": "mask", "session_id": "mask", "device_id": "mask", "delivery_instructions": "mask",
    "shipping_instructions": "mask", "special_instructions": "mask", "comment": "mask", "comments": "mask", "*_comment": "mask",
    "*_comments": "mask", "gift_from": "mask", "gift_to": "mask", "gift_message*": "mask", "note2": "mask", "*_notes": "mask",
    "remark": "mask", "remarks": "mask", "*_remark": "mask", "*_remarks": "mask", "memo": "mask", "instructions": "mask",
    "order_instructions": "mask", "pickup_instructions": "mask", "dropoff_*": "mask", "customers": "mask",
    "customer_message": "mask", "buyer_message": "mask", "personal_message": "mask",
    "buyers": "mask", "contacts": "mask", "*_contact": "mask", "*_contacts": "mask", "guest*": "mask", "person": "mask",
    "persons": "mask", "people": "mask", "person_*": "mask", "*_person": "mask", "maiden_name": "mask", "*_recipient_name": "mask",
    "sender_name": "mask", "to_name": "mask", "from_name": "mask", "orderer*": "mask", "purchaser*": "mask", "*_by_user": "mask",
    "first_name_*": "mask", "last_name_*": "mask", "buyer_company_name": "mask", "buyer_legal_company_name": "mask",
    "buyer_county": "mask", "buyer_tax_*": "mask", "buyer_cashtag": "mask", "buyer_customized_info": "mask", "tax_ids": "mask",
    "tax_identification*": "mask", "vat_registration": "mask", "customer_shipping": "mask", "customer_communication": "mask",
    "customer_signature": "mask", "house_number_*": "mask", "*_street_*": "mask", "*_city_name": "mask", "*_address2": "mask",
    "phone_number_*": "hash", "phone_extension*": "hash", "mobile_phone*": "hash", "fax_*": "hash", "receipt_json": "mask",
})  # fmt: skip
"""The usual names, so that a System policy that says nothing is safe. `show` takes one out."""
PARTIES = frozenset({
    "ship_to", "shipto", "bill_to", "billto", "sold_to", "soldto", "deliver_to", "delivery", "shipping", "billing", "destination",
    "dropoff", "pickup", "party", "parties", "partner", "partners", "user", "users", "client", "clients", "member", "owner", "receiver",
    "sender", "payee", "entity", "ship_to_party", "sold_to_party", "bill_to_party", "to_partner", "account_holder", "location_of_delivery",
})  # fmt: skip
"""Objects that are of somebody: who and where a bare `name` in them says is personal, as their codes, ids and countries are not."""
WHERE = frozenset({
    "street", "street1", "street2", "street_1", "street_2", "address", "address1", "address_1", "address_line1", "address_line_1", "line1",
    "city", "zip", "zip_code", "zipcode", "postcode", "post_code", "postal_code", "postalcode", "town", "house_number",
})  # fmt: skip
"""Beside one of these, too: the object is an address, whatever it is called."""
BARE = frozenset({
    "name", "name1", "name2", "name3", "name4", "name_1", "name_2", "full_name", "display_name", "legal_name", "formatted_name",
    "ref_name", "company", "company_name", "organization", "organisation", "line1", "line2", "line3", "line_1", "line_2", "town", "county",
    "district", "care_of", "c_o",
})  # fmt: skip
"""Names that say who somebody is there, and of what a thing is called elsewhere."""
ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
"""An e-mail address in running text; it is looked for at the beginning of a word only, so that a long one costs no more than it is long."""
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[-. ]")
"""Where the words of a name meet, however it joins them."""
_TOKEN = re.compile(r"[^\s;,|\"'<>=(){}\[\]]+")
Hide = Callable[[Showing, Any], str]
"""Returns what stands for a value that is to be masked, or hashed."""


_HASH = re.compile(r"hmac:[0-9a-f]{8}:[0-9a-f]{16}")


@lru_cache(maxsize=10_000)
def _words(name: str) -> str:
    return _WORDS.sub("_", name).lower()


def stands_for(value: Any) -> bool:
    """Say whether a value is none, but stands for one that is not shown."""
    return isinstance(value, str) and (MASK in value or _HASH.search(value) is not None)


def masking(_: Showing, __: Any) -> str:
    """Hide everything alike."""
    return MASK


class _Layer:
    """Patterns of one origin, sorted by how much they say."""

    def __init__(self, patterns: Mapping[str, Showing]) -> None:
        self.paths: list[tuple[list[str], Showing]] = []
        self._names: dict[str, Showing] = {}
        self._wild: list[tuple[str, Showing]] = []
        for pattern, showing in patterns.items():
            parts = [part.lower() for part in segments(pattern)]
            if len(parts) > 1:
                self.paths.append((parts, showing))
            elif "*" in pattern or "?" in pattern:
                self._wild.append((parts[0], showing))
            else:
                self._names[parts[0]] = showing

    def named(self, name: str) -> Showing | None:
        """Return what is said of a name, in lower case."""
        if name in self._names:
            return self._names[name]
        return next((showing for pattern, showing in self._wild if fnmatchcase(name, pattern)), None)


class Personal:
    """What one System's policy, with what is shipped, says of a field. Immutable, but for what it has looked up."""

    def __init__(self, own: Mapping[str, Showing] = MappingProxyType({})) -> None:
        """`own`: `spec.personal` of the System. Raises ValueError for a pattern that is none."""
        self._layers = [_Layer(own), _Layer(SHIPPED)]
        self._by_path = any(layer.paths for layer in self._layers)
        self._known: dict[str, Showing | None] = {}

    def of(self, parts: tuple[str, ...]) -> Showing | None:
        """Say how a field is shown, by its path; None where nothing is said of it."""
        if self._by_path:
            return self._by_all(parts)
        name = parts[-1]
        if name not in self._known:
            if len(self._known) > LARGEST:
                self._known.clear()
            self._known[name] = self._by_all((name,))
        return self._known[name]

    def among(self, parts: tuple[str, ...], beside: Iterable[str], within: Showing | None = None) -> Showing | None:
        """Say the same of a field that stands beside others: a bare name is personal in an address, or in what is of somebody.

        `within`: what is said of what it stands in; a name that is shown with all of that is shown.
        """
        found = self.of(parts)
        if found or within == "show" or _words(parts[-1]) not in BARE:
            return found
        whose = next((_words(part) for part in reversed(parts[:-1]) if not part.isdigit()), "")
        return "mask" if whose in PARTIES or any(_words(name) in WHERE for name in beside) else None

    def _by_all(self, given: tuple[str, ...]) -> Showing | None:
        parts, words = tuple(part.lower() for part in given), _words(given[-1])
        for layer in self._layers:
            found = next((showing for path, showing in layer.paths if meant(parts, path)), None)
            found = found or layer.named(parts[-1]) or layer.named(words)
            if found:
                return found
        return None

    def at(self, path: str) -> Showing | None:
        """Say how a value of a record is shown, counting in what is said of the fields that it stands in.

        `path` is that of a correction: `body.` in front of what is in the record's body.
        """
        parts = segments(path)
        parts = parts[1:] if parts[0] == "body" and len(parts) > 1 else parts
        found = None
        for end in range(1, len(parts) + 1):
            if not parts[end - 1].isdigit():
                found = self.among(tuple(parts[:end]), (), found) or found
        return None if found == "show" else found


LARGEST = 10_000
"""Names that are remembered."""
USUAL = Personal()
"""What is shipped, and nothing else."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value as people may see it."""

    value: Any
    hidden: tuple[str, ...]
    """What was taken out of it, as text; empty when nothing of it is personal."""


def shown(body: Any, personal: Personal, hide: Hide) -> Shown:
    """Return a body (an object or a list) without what is personal in it; the row of a file is taken by its columns."""
    unread = _row_apart(body, personal, hide)
    if unread is not None:
        return unread
    hidden: list[str] = []
    apart = spread({"body": body})["body"]
    value = _walk(apart, (), None, personal, hide, hidden)
    if not hidden:
        return Shown(body, ())
    if known := telling(hidden):
        value = _elsewhere(value, hiding(known))
    if apart is not body:
        value = gathered({"body": value})["body"]
    return Shown(value, tuple(hidden))


def telling(hidden: Iterable[str]) -> tuple[str, ...]:
    """Return those of the values that tell of somebody wherever they stand: addresses, and what is as long as a telephone number."""
    return tuple(value for value in hidden if ADDRESS.search(value) or sum(map(str.isdigit, value)) >= DIGITS)


DIGITS = 7


def _elsewhere(value: Any, mask: Callable[[str], str]) -> Any:
    """Mask the same values where they stand in fields of other names."""
    if isinstance(value, dict):
        return {name: _elsewhere(inner, mask) for name, inner in value.items()}
    if isinstance(value, list):
        return [_elsewhere(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def hiding(known: Iterable[str]) -> Callable[[str], str]:
    """Return what masks these values in a text, the longest first. However many they are, it takes about as long as the text is."""
    values = frozenset(known)
    shortest = min(map(len, values), default=1)
    begin: dict[str, list[int]] = {}
    """How they begin -> lengths of those that begin so."""
    for value in sorted(values, key=len, reverse=True):
        lengths = begin.setdefault(value[:shortest], [])
        if lengths[-1:] != [len(value)]:
            lengths.append(len(value))

    def mask(text: str) -> str:
        parts, done, at = list[str](), 0, 0
        while at + shortest <= len(text):
            found = next((one for one in begin.get(text[at : at + shortest], ()) if text[at : at + one] in values), 0)
            if found:
                parts += [text[done:at], MASK]
                done = at + found
            at += found or 1
        return "".join([*parts, text[done:]]) if parts else text

    return mask


def _row_apart(body: Any, personal: Personal, hide: Hide) -> Shown | None:
    """A row that does not fit its header is hidden whole where the header has a personal column: nobody knows which field is which."""
    header, row = (body.get("header"), body.get("row")) if isinstance(body, dict) else (None, None)
    if not isinstance(header, str) or not isinstance(row, str) or rows.fields(header, row) is not None:
        return None
    names = rows.columns(header)
    if not any(personal.among(("row", name), names) not in (None, "show") for name in names):
        return None
    return Shown({**body, "row": hide("mask", row)}, (row, *tokens(row)))


def _walk(
    value: Any, at: tuple[str, ...], showing: Showing | None, personal: Personal, hide: Hide, hidden: list[str]
) -> Any:
    if isinstance(value, dict):
        found = {}
        for name, inner in value.items():
            here = (*at, name)
            found[name] = _walk(inner, here, personal.among(here, value, showing) or showing, personal, hide, hidden)
        return found
    if isinstance(value, list):
        return [_walk(item, (*at, str(n)), showing, personal, hide, hidden) for n, item in enumerate(value)]
    if showing is None and isinstance(value, str) and "@" in value and (addresses := ADDRESS.findall(value)):
        hidden += addresses
        return ADDRESS.sub(MASK, value)
    if showing in (None, "show") or value is None or value == "" or isinstance(value, bool):
        return value
    hidden.append(str(value))
    return hide(showing, value)


def tokens(text: str) -> list[str]:
    """Return what a text that is hidden whole is made of: any of it may be quoted in an error."""
    return [token for token in dict.fromkeys(_TOKEN.findall(text)) if len(token) >= WORD]


WORD = 4
"""Characters from which on a hidden value is looked for anywhere in a text; a shorter one only where it stands alone."""


def scrubbed(text: str, hidden: Iterable[str]) -> str:
    """Return a text without the hidden values; short numbers stay, for they tell of nobody."""
    for value in sorted(set(hidden), key=len, reverse=True):
        if len(value) >= WORD:
            text = text.replace(value, MASK)
        elif len(value) > 1 and not value.isdigit():
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, text)
    return text


def without_addresses(text: str) -> str:
    """Return running text without e-mail addresses."""
    return ADDRESS.sub(MASK, text) if "@" in text else text


# --- what a person sends back ---


def given_back(sent: Any, seen: Any, whole: Any) -> Any:
    """Return what a person sent with what they could not see put back where it stood, or raise ValueError.

    `seen` is the record as it was shown, `whole` as it is.
    """
    return _back(spread(sent), spread(seen), spread(whole), ())


def _back(sent: Any, seen: Any, whole: Any, at: tuple[str, ...]) -> Any:
    if isinstance(sent, dict):
        return {
            name: _back(inner, _part(seen, name), _part(whole, name), (*at, str(name))) for name, inner in sent.items()
        }
    if isinstance(sent, list):
        return [_back(item, _part(seen, n), _part(whole, n), (*at, str(n))) for n, item in enumerate(sent)]
    if sent == seen and sent != whole:
        return whole
    if stands_for(sent) and sent != whole:
        raise ValueError(
            f"{'.'.join(at)}: '{sent}' stands for a value that is not shown; leave the field where it was, or write a new value"
        )
    return sent


def _part(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
