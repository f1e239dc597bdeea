"""What has to make sense within one document, beyond the shape of its kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rules import addresses
from rules.indicators import INDICATORS
from rules.model.messages import TYPES
from rules.paths import segments
from rules.policy import kinds as k
from rules.policy.keeping import retention_flaws
from rules.policy.kinds import format_duration
from rules.policy.lengths import too_long
from rules.policy.problems import Path
from rules.policy.reading import Entry, nearest
from rules.policy.secrets import BY_REFERENCE, is_planes_own, secrets_by_value
from rules.units import pieces_in

Flaw = tuple[Path, str, str]
"""Path, rule, remedy."""
EntryFlaw = tuple[Entry, Path, str, str]
"""The same, of one document among others."""

PLACEHOLDERS = frozenset({"SANDBOX", "HOME"})
MINUTE = timedelta(minutes=1)
SAMPLES = 3
"""Slices that a short window must hold, so that one late sample does not decide."""


def _system(spec: k.SystemSpec) -> Iterator[Flaw]:
    for path in secrets_by_value(spec):
        if path[1] != "endpoint" or spec.endpoint.startswith(
            "http"
        ):  # of other addresses the connector's own check speaks
            yield path, *BY_REFERENCE
    for name, reference in spec.secrets.items():
        if is_planes_own(reference):
            rule = f"{reference.partition(':')[2]} is a setting of the plane, and is given to no system"
            yield ("spec", "secrets", name), rule, "give the system a secret of its own"
    for placeholder in re.findall(r"\$\{([^}]*)\}", spec.endpoint):
        if placeholder not in PLACEHOLDERS:
            rule = f"unknown placeholder ${{{placeholder}}}"
            yield ("spec", "endpoint"), rule, nearest(placeholder, PLACEHOLDERS, "placeholders")
    yield from _blocked(spec)
    if spec.timeout <= timedelta(0):
        yield ("spec", "timeout"), "nothing answers within 0 s, so every request would fail", "write for instance 10s"
    for pattern in spec.personal:
        try:
            segments(pattern)
        except ValueError as error:
            rule, _, remedy = str(error).partition("; ")
            yield ("spec", "personal", pattern), rule, remedy


def _blocked(spec: k.SystemSpec) -> Iterator[Flaw]:
    """What can be told of the address without looking up its name; the rest is told when it is connected to."""
    stated = [pair for pair in spec.internal if pair != addresses.SANDBOX]
    if addresses.SANDBOX in spec.endpoint and addresses.SANDBOX not in spec.internal:
        rule = "${SANDBOX} is loopback, which is not public"
        yield ("spec", "endpoint"), rule, "add '${SANDBOX}' to spec.internal"
    found = addresses.literal_refusal(spec.endpoint, [addresses.Pair.read(pair) for pair in stated])
    if found:
        yield ("spec", "endpoint"), found.rule, found.remedy
    for position, text in enumerate(spec.internal):
        literal = addresses.literal_of(addresses.Pair.read(text).host) if text != addresses.SANDBOX else None
        block = addresses.block_of(literal) if literal else None
        if block and block.opens is addresses.Opens.NOTHING:
            rule = f"{text} is {block.what}, which no policy can allow"
            yield ("spec", "internal", position), rule, "take it out, or write the address of a system"


def _flow(spec: k.FlowSpec) -> Iterator[Flaw]:
    for position, name in enumerate(spec.message_types):
        if name not in TYPES:
            yield ("spec", "message_types", position), f"unknown message type '{name}'", nearest(name, TYPES, "types")
    if spec.source == "plane" and spec.read is not None:
        yield ("spec", "read"), "there is nothing to read at the plane itself", "take 'read' out, or name a System"
    if spec.standby and spec.read is None:
        yield (
            ("spec", "standby"),
            "only what is read can wait: what a system sends comes anyhow",
            "take it out, or add 'read: …'",
        )
    if spec.poll_every is not None and spec.read is None:
        yield ("spec", "poll_every"), "it says how often, and not what to read", "add 'read: …'"
    if spec.method == "poll" and (spec.read is None or spec.poll_every is None):
        yield ("spec", "method"), "a flow by poll has to say what is read and how often", "add 'read' and 'poll_every'"
    if spec.poll_every is not None and spec.poll_every <= timedelta(0):
        yield ("spec", "poll_every"), "a poll every 0 seconds never rests", "write for instance 1m"
    if spec.promise <= timedelta(0):
        yield (
            ("spec", "promise"),
            "whatever is delivered takes longer than 0 s, so it is always broken",
            "write for instance 1m",
        )
    seen = Counter((target.system, target.entity) for target in spec.targets)
    for position, target in enumerate(spec.targets):
        if seen[target.system, target.entity] > 1:
            rule = f"{target.system}/{target.entity} is a target twice"
            yield ("spec", "targets", position), rule, "keep one: each message is owed to a target once"


def _mapping(spec: k.MappingSpec) -> Iterator[Flaw]:
    if spec.entity != "unit":
        return
    for theirs, ours in spec.codes.items():
        try:
            pieces_in(ours)
        except ValueError as error:
            rule, _, remedy = str(error).partition("; ")
            yield ("spec", "codes", theirs), rule, remedy


def _domain(spec: k.DomainSpec) -> Iterator[Flaw]:
    yield from retention_flaws(spec.retention)
    for name in ("protected_fields", "approve_fields"):
        for position, pattern in enumerate(getattr(spec.correction, name)):
            try:
                segments(pattern)
            except ValueError as error:
                rule, _, remedy = str(error).partition("; ")
                yield ("spec", "correction", name, position), rule, remedy


def _retry(spec: k.RetryPolicySpec) -> Iterator[Flaw]:
    first, cap, budget = (format_duration(value) for value in (spec.first, spec.cap, spec.budget))
    if spec.first <= timedelta(0):
        yield ("spec", "first"), "a first delay of 0 s hammers a system that is in trouble", "write for instance 1s"
    if spec.cap < spec.first:
        yield ("spec", "cap"), f"the cap {cap} is shorter than the first delay {first}", f"write at least {first}"
    if spec.budget < spec.first:
        rule = f"the budget {budget} ends before the first retry after {first}"
        yield ("spec", "budget"), rule, f"write more than {first}"

    for name, own in spec.classes.items():
        yield from _class(name, own, spec)


def _class(name: str, own: k.RetryClass, spec: k.RetryPolicySpec) -> Iterator[Flaw]:
    given = spec.first if own.first is None else own.first
    if own.first is not None and own.first <= timedelta(0):
        rule = "a first delay of 0 s hammers a system that is in trouble"
        yield ("spec", "classes", name, "first"), rule, "write for instance 1s, or leave it out"
    elif (spec.cap if own.cap is None else own.cap) < given:
        first, key = format_duration(given), "first" if own.cap is None else "cap"
        rule = f"the cap is shorter than the first delay {first} of this class"
        yield ("spec", "classes", name, key), rule, f"write a cap of at least {first}"


def _service_level(spec: k.ServiceLevelSpec) -> Iterator[Flaw]:
    if spec.indicator == "stock_freshness" and spec.threshold is None:
        yield ("spec", "threshold"), "freshness needs an age from which it is bad", "add for instance 'threshold: 2m'"
    elif spec.threshold is not None and spec.threshold <= timedelta(0):
        yield ("spec", "threshold"), "no age lies below 0 s, so nothing would ever be good", "write for instance 2m"
    yield from _labels(spec.indicator, spec.labels)
    if spec.slice < MINUTE:
        rule = f"observations are kept by the minute, so most slices of {format_duration(spec.slice)} would hold none"
        yield ("spec", "slice"), rule, "write 1m or more"
        return
    for position, tier in enumerate(spec.tiers):
        for key, rule, remedy in _tier(spec, tier):
            yield ("spec", "tiers", position, key), rule, remedy


def _labels(indicator: str, labels: Mapping[str, str]) -> Iterator[Flaw]:
    """A label that no series has selects nothing; whether a value names something is asked across documents."""
    known = INDICATORS[indicator].labels if indicator in INDICATORS else labels
    for label in labels:
        if label not in known:
            rule = f"no series of '{indicator}' has the label '{label}', so nothing would ever be selected"
            yield (
                ("spec", "labels", label),
                rule,
                nearest(label, known, "labels") if known else "take it out: it has none",
            )


def _tier(spec: k.ServiceLevelSpec, tier: k.BurnTier) -> Iterator[tuple[str, str, str]]:
    short, long, window = format_duration(tier.short), format_duration(tier.long), format_duration(spec.window)
    highest = 1 / (1 - spec.target)
    if tier.factor > highest * (1 + 1e-9):
        rule = (
            f"the tier can never fire: at a target of {spec.target} the error budget burns at most {highest:.4g} times"
        )
        yield "factor", rule, f"write a factor below {highest:.4g}, or raise the target"
    if tier.short >= tier.long:
        yield (
            "short",
            f"the short window {short} is not shorter than the long one {long}",
            "write about a twelfth of it",
        )
    if tier.long > spec.window:
        yield "long", f"the long window {long} is longer than the level's window {window}", f"write at most {window}"
    if tier.short < SAMPLES * spec.slice:
        least = format_duration(SAMPLES * spec.slice)
        rule = f"the short window {short} holds fewer than {SAMPLES} slices of {format_duration(spec.slice)}"
        yield "short", rule, f"write at least {least}, or shorten the slice"


def _team(spec: k.TeamSpec) -> Iterator[Flaw]:
    for position, member in enumerate(spec.members):
        if not member.username.strip():
            path: Path = ("spec", "members", position, "username")
            yield path, "nobody has an account without a name", "write the name that the person signs in with"


def _allocation(spec: k.AllocationRuleSpec) -> Iterator[Flaw]:
    for sku, units in spec.per_sku.items():
        if units < 0:
            yield ("spec", "per_sku", sku), f"a safety stock of {units} would sell what is not there", "write 0 or more"


def _escalation(spec: k.EscalationPathSpec) -> Iterator[Flaw]:
    delays = [step.after for step in spec.steps]
    if delays != sorted(delays):
        yield ("spec", "steps"), "the steps are not in the order of their delay", "sort them by 'after'"
    if delays[0] > timedelta(0):
        yield ("spec", "steps", 0, "after"), "nobody is told at once", "write 'after: 0s' for the first step"
    if spec.acknowledge_within <= timedelta(0):
        rule = "an acknowledgement would be over at once, and the incident open again"
        yield ("spec", "acknowledge_within"), rule, "write for instance 30m"


def _comparison(spec: k.ComparisonSpec) -> Iterator[Flaw]:
    systems = [side.system for side in spec.sides]
    if spec.source_side not in systems:
        rule = f"the source side '{spec.source_side}' is not among the sides"
        yield ("spec", "source_side"), rule, nearest(spec.source_side, systems, "sides")
    if spec.window <= timedelta(0):
        yield ("spec", "window"), "no order is younger than 0 s, so nothing would be compared", "write for instance 7d"
    for position, system in enumerate(systems):
        if system in systems[:position]:
            rule = f"'{system}' is a side twice"
            yield ("spec", "sides", position, "system"), rule, "compare different systems"
    yield from _of_stock(spec)
    for location, system in spec.source_sides.items():
        if system not in [side.system for side in spec.sides_at(location)]:
            rule = f"'{system}' is no side that has '{location}'"
            yield ("spec", "source_sides", location), rule, "name a side that has it"
    if spec.every <= timedelta(0):
        yield ("spec", "every"), "a comparison every 0 seconds never rests", "write for instance 5m"


STOCK = frozenset({"on_hand", "available"})
HEALED = "inventory"
"""The kind of comparison whose differences can be mended by driving the flow again."""


def _of_stock(spec: k.ComparisonSpec) -> Iterator[Flaw]:
    if not spec.locations and any(side.field in STOCK for side in spec.sides):
        yield ("spec", "locations"), "stock is compared at locations, and none is named", "name one or more"
    if spec.heal.enabled and spec.kind != HEALED:
        rule = f"nothing that a comparison of kind '{spec.kind}' finds is healed by itself"
        yield ("spec", "heal", "enabled"), rule, "write false: a person replays what is missing"


def _accounting(spec: k.AccountingRuleSpec) -> Iterator[Flaw]:
    taxed = [n for n, line in enumerate(spec.lines) if line.amount in ("net", "tax", "gross")]
    if taxed and spec.tax is None and spec.on != "sale.recorded":  # what it charged, a till tells
        rule = f"no tax is known of the document, and {spec.lines[taxed[0]].amount} is posted"
        yield ("spec", "lines", taxed[0], "amount"), rule, "say in 'tax' who is asked for it, or post price"
    if spec.tax is not None and spec.on != "shipment.shipped":
        yield ("spec", "tax"), f"only of shipment.shipped is tax checked, and this is on {spec.on}", "take it out"
    for amount in ("price", "cost", "net", "tax"):
        both = ("gross",) if amount in ("net", "tax") else ()
        sides = Counter(line.side for line in spec.lines if line.amount in (amount, *both))
        if sides["debit"] != sides["credit"]:
            rule = (
                f"the entry cannot balance: {amount} is debited {sides['debit']} and credited {sides['credit']} times"
            )
            yield ("spec", "lines"), rule, f"debit and credit {amount} equally often"


def _calendar(spec: k.CalendarSpec) -> Iterator[Flaw]:
    try:
        ZoneInfo(spec.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield ("spec", "zone"), f"unknown time zone '{spec.zone}'", "write an IANA name, for instance Europe/Berlin"
    hours, minutes = (int(part) for part in spec.day_starts.split(":"))
    if hours > 23 or minutes > 59:
        yield ("spec", "day_starts"), f"'{spec.day_starts}' is no time of day", "write 00:00 to 23:59"
    for position, pair in enumerate(spec.freezes):
        start, end = (_instant(text) for text in pair)
        path = ("spec", "freezes", position)
        if start is None or end is None:
            yield path, "a freeze is a pair of instants with a time zone", "write for instance 2026-11-27T00:00:00Z"
        elif start >= end:
            yield path, "the freeze ends before it begins", "write the earlier instant first"


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def _alert(spec: k.AlertRuleSpec) -> Iterator[Flaw]:
    if spec.indicator not in INDICATORS:
        rule = f"unknown indicator '{spec.indicator}'"
        yield ("spec", "indicator"), rule, nearest(spec.indicator, INDICATORS, "indicators")
    yield from _labels(spec.indicator, spec.labels)
    if spec.clear_at > spec.above:
        rule = f"it clears at {spec.clear_at:g}, above the {spec.above:g} at which it fires, so it would flap"
        yield ("spec", "clear_at"), rule, f"write at most {spec.above:g}"


CHECKS: Mapping[type[k.Part], Callable[..., Iterator[Flaw]]] = {
    k.SystemSpec: _system,
    k.DomainSpec: _domain,
    k.FlowSpec: _flow,
    k.MappingSpec: _mapping,
    k.RetryPolicySpec: _retry,
    k.ServiceLevelSpec: _service_level,
    k.EscalationPathSpec: _escalation,
    k.TeamSpec: _team,
    k.AllocationRuleSpec: _allocation,
    k.ComparisonSpec: _comparison,
    k.AccountingRuleSpec: _accounting,
    k.CalendarSpec: _calendar,
    k.AlertRuleSpec: _alert,
}


def flaws(spec: k.Part) -> list[Flaw]:
    """Return what does not make sense in the spec by itself."""
    check = CHECKS.get(type(spec))
    return [*too_long(spec), *(check(spec) if check else ())]
