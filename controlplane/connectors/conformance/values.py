"""What is in the answers: codes that nobody has heard of, members that are new, times in other zones, amounts to the last digit."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from pydantic import ValidationError

from controlplane.connectors.conformance import faults
from controlplane.connectors.conformance.report import NotApplicable, demand
from controlplane.connectors.conformance.stand import Stand, each
from controlplane.connectors.contract import Connector, Draft, Level, Record
from controlplane.errors import BadInputError
from rules.model.messages import parse
from rules.outcomes import DONE

UNHEARD_OF = "SOMETHING_NEW_2031"
AMOUNT = Decimal("1234567.89")
ELSEWHERE = timezone(timedelta(hours=5, minutes=30))
FAT = "x" * 10_000
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DIGITS = 6
"""An amount with more places than this in a request was a float on its way."""


def unheard_of(stand: Stand) -> str:
    """Bring every record though a code in it is new: it becomes a message, or waits in quarantine, and its neighbours go on."""

    def check(entity: str) -> None:
        names = stand.bench.enums.get(entity)
        if not names:
            raise NotApplicable("the bench names no member with codes")
        for name in names:
            plain = _records(stand, entity)
            odd = _records(stand, entity, _renamed(name))
            demand(
                len(odd) == len(plain),
                f"{entity}: with a new code in '{name}' {len(odd)} records come, not {len(plain)}",
            )
            connector = stand.connector()
            for record in odd:
                _translated(connector, record, f"{entity}: a new code in '{name}'")

    return each(stand.changes, "polls nothing", check)


def _renamed(name: str) -> Callable[[Any], Any]:
    return faults.members(lambda member, value: UNHEARD_OF if member == name and value is not None else value)


def new_members(stand: Stand) -> str:
    """Understand the same though every object of an answer has members that were not there before, large ones too."""

    def widen(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "xNewMember": {"list": [1, None, "ä€𝄞"]}}

    def fatten(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "xDescription": FAT} if len(found) > 3 else found

    def check(entity: str) -> None:
        plain = _drafts(stand, entity)
        for told, change in (("new members", widen), ("a member of 10 kB", fatten)):
            odd = _drafts(stand, entity, faults.objects(change))
            demand(_facts(odd) == _facts(plain), f"{entity}: with {told} in its answers other messages come of it")

    return each(stand.changes, "polls nothing", check)


def canonical(stand: Stand) -> str:
    """Make of every record messages that are as their type says, and that are known by a key of their own."""

    def check(entity: str) -> None:
        drafts = _drafts(stand, entity)
        for draft in drafts:
            try:
                parse(draft.type, draft.data, draft.schema_version)
            except (ValidationError, KeyError, ValueError) as error:
                demand(False, f"{entity}: {draft.subject} is no {draft.type}: {error}")
        told = {(draft.dedupe_key, draft.subject, repr(draft.data)) for draft in drafts if draft.dedupe_key}
        same = [key for key, count in Counter(key for key, _, _ in told).items() if count > 1]
        demand(not same, f"{entity}: different facts have the same key, so that one of them is lost: {same[:3]}")

    return each(stand.changes, "polls nothing", check)


def zones(stand: Stand) -> str:
    """Read an instant as the same instant in whatever zone it is written, and never without one."""
    changed = _texts(_elsewhere)

    def check(entity: str) -> None:
        plain = _drafts(stand, entity)
        for draft in plain:
            demand(
                draft.occurred_at.tzinfo is not None,
                f"{entity}: {draft.subject} occurred at {draft.occurred_at}, in no zone",
            )
        if stand.speaks_http:
            odd = _drafts(stand, entity, changed)
            demand(_times(odd) == _times(plain), f"{entity}: the same instants written as +05:30 are others")

    left_out = each(stand.changes, "", check) if stand.changes else ""
    for entity in stand.snapshots:
        _zones_of_levels(stand, entity, changed)
    if not stand.changes and not stand.snapshots:
        raise NotApplicable("the connector reads nothing")
    return left_out


def decimals(stand: Stand) -> str:
    """Keep amounts to the last digit, in what is read and in what is written; no float is ever in between."""
    left_out, missing = [], []
    for entities, what, check in (
        (stand.changes, "polls nothing", _read_amounts),
        (stand.writes, "writes nothing", _sent_amounts),
    ):
        try:
            left_out.append(each(entities, what, partial(check, stand)))
        except NotApplicable as reason:
            missing.append(str(reason))
    if not left_out:
        raise NotApplicable("; ".join(missing))
    return "; ".join(filter(None, [*left_out, *missing]))


def _read_amounts(stand: Stand, entity: str) -> None:
    plain = _drafts(stand, entity)
    for draft in plain:
        demand(not list(_floats(draft.data)), f"{entity}: {draft.subject} holds a float: {draft.data}")
    known, names = stand.bench.known_amounts.get(entity), stand.bench.amounts.get(entity)
    if known:
        lost = [draft for draft in plain if Decimal(known) not in set(_numbers(draft.data))]
        demand(not lost, f"{entity}: {known} was told, and is not in {lost[:1]}")
    if names:
        drafts = _drafts(
            stand, entity, faults.members(lambda member, value: _amount(value) if member in names else value)
        )
        lost = [draft for draft in drafts if AMOUNT not in set(_numbers(draft.data))]
        demand(drafts and not lost, f"{entity}: {AMOUNT} in its answers is not {AMOUNT} in {lost[:1]}")
    if not known and not names:
        raise NotApplicable("the bench names no amount")


def _amount(value: Any) -> Any:
    return None if value is None else str(AMOUNT) if isinstance(value, str) else float(AMOUNT)


def _sent_amounts(stand: Stand, entity: str) -> None:
    wanted, request = stand.bench.sent_amounts(entity), stand.bench.write(entity)
    stand.bench.rest()
    with stand.proxy.watching() as asked:
        outcome = stand.carried_out(request, stand.connector().write(request))
    demand(outcome.result in DONE, f"{entity}: undisturbed it is '{outcome.result}' ({outcome.detail})")
    found = {number for one in asked if stand.bench.is_write(one) for number in _numbers(_json(one.body))}
    floats = [number for number in found if -int(number.as_tuple().exponent) > _DIGITS]
    demand(not floats, f"{entity}: the request holds {floats}, which was a float on its way")
    lost = [text for text in wanted if Decimal(text) not in found]
    demand(not lost, f"{entity}: the request does not hold {', '.join(lost)}")


def _zones_of_levels(stand: Stand, entity: str, changed: Callable[[Any], Any]) -> None:
    stand.bench.rest()
    plain = _levels(stand, entity)
    for told in plain:
        zoned = told.source_at is None or told.source_at.tzinfo is not None
        demand(zoned, f"{entity}: {told.sku} changed at {told.source_at}, in no zone")
    if not stand.speaks_http:
        return
    stand.bench.rest()
    with stand.proxy.strike(faults.altered(changed).at(stand.bench.is_read)):
        odd = _levels(stand, entity)
    same = [(one.sku, one.location, one.source_at) for one in odd] == [
        (one.sku, one.location, one.source_at) for one in plain
    ]
    demand(same, f"{entity}: the same instants written as +05:30 are others")


def _levels(stand: Stand, entity: str) -> list[Level]:
    found = [level for page in stand.connector().snapshot(entity) for level in page]
    return sorted(found, key=lambda level: (level.sku, level.location))


def _records(stand: Stand, entity: str, change: Callable[[Any], Any] | None = None) -> list[Record]:
    stand.bench.things(entity, 3)
    stand.bench.rest()
    if change is None:
        return [record for page in stand.connector().poll(entity, None) for record in page.records]
    with stand.proxy.strike(faults.altered(change).at(stand.bench.is_read)):
        return [record for page in stand.connector().poll(entity, None) for record in page.records]


def _drafts(stand: Stand, entity: str, change: Callable[[Any], Any] | None = None) -> list[Draft]:
    connector = stand.connector()
    found = [
        draft for record in _records(stand, entity, change) for draft in connector.translate(record.topic, record.body)
    ]
    demand(found, f"{entity}: nothing that is polled becomes a message, so that this shows nothing")
    return found


def _translated(connector: Connector, record: Record, told: str) -> None:
    try:
        connector.translate(record.topic, record.body)
    except BadInputError:
        return
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told
        demand(
            False, f"{told} breaks the connector with {error!r}; raise UnmappedError or BadInputError, or let it pass"
        )


def _facts(drafts: list[Draft]) -> list[tuple[str, str, str]]:
    return sorted((draft.type, draft.subject, json.dumps(draft.data, sort_keys=True, default=str)) for draft in drafts)


def _times(drafts: list[Draft]) -> list[tuple[str, str, datetime]]:
    return sorted((draft.type, draft.subject, draft.occurred_at) for draft in drafts)


def _texts(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return faults.members(lambda _, value: change(value) if isinstance(value, str) else value)


def _elsewhere(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(ELSEWHERE).isoformat() if _INSTANT.fullmatch(text) else text


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        return None


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _floats(inner)
    elif isinstance(value, float):
        yield value


def _numbers(value: Any) -> Iterator[Decimal]:
    """Yield every number with a fraction, written as one or as text."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, Decimal):
        yield value
    elif isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value):
        try:
            yield Decimal(value)
        except InvalidOperation:
            return
