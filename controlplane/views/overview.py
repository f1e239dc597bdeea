"""The one page: can stock, fulfilment and finance be trusted right now, since when, and what does it cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from controlplane.registry import Snapshot
from controlplane.store import tables as t
from controlplane.views import matrix
from controlplane.views.incidents import Incident, incidents
from controlplane.views.matrix import FlowRow, ago, span
from controlplane.views.readings import Axis, Latency, Values, known_axis, last_known, latency, trends
from controlplane.views.states import OF_SERVICE_LEVEL, Light, worst
from rules.orders import UNSHIPPED
from rules.policy.kinds import Comparison

STALE = timedelta(minutes=10)
"""A verdict that is older than this is not known to hold any more."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the verdict row: what it is, what it ought to be, how it went, where to look further."""

    key: str
    title: str
    value: str
    note: str
    target: str
    light: Light
    word: str
    trend: Values
    link: str


@dataclass(frozen=True, slots=True)
class Level:
    """A service level and its newest verdict."""

    name: str
    title: str
    owner: str
    light: Light
    word: str
    target: float
    attainment: float | None
    budget_left: float | None
    coverage: float | None
    burn: float | None
    """The highest long-window burn rate among its tiers."""
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Money:
    """What open deliveries are worth in one currency: `late` is past its promise, `all` is everything on the way."""

    currency: str
    late: Decimal
    everything: Decimal


@dataclass(frozen=True, slots=True)
class Backlog:
    """Orders whose goods have not left yet."""

    orders: int
    value: dict[str, Decimal]
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the overview page shows, from one consistent state of the store."""

    at: datetime
    tiles: list[Tile]
    over: Axis
    lines: dict[str, Values]
    latency: Latency
    flows: list[FlowRow]
    incidents: list[Incident]
    """Open ones, and those resolved within the axis."""
    levels: list[Level]
    runs: dict[str, Mapping[str, Any]]
    """The newest finished run of each comparison over all its keys."""


def overview(conn: Connection, promises: Snapshot, now: datetime, window: timedelta = timedelta(hours=1)) -> Overview:
    """Read the whole page. A fixed number of queries, whatever the number of flows, systems and incidents."""
    over = known_axis(conn, now, window)
    lines, delivered = trends(conn, over), latency(conn, over)
    flows = matrix.rows(promises, matrix.evidence(conn, promises, now), now)
    told, judged = incidents(conn, since=over.since).rows, levels(conn, promises, now)
    runs = latest_runs(conn)
    tiles = [
        _overall(flows, told, judged, now),
        _money(money_owed(conn, now)),
        _orders(backlog(conn), lines["order_backlog"], now),
        _oversell(lines["oversell_rate"]),
        _mismatch(lines["mismatch_rate"], runs, promises, now),
        _held(conn, lines["failed_messages"], now),
        _open_incidents(told, now),
    ]
    return Overview(now, tiles, over, lines, delivered, flows, told, judged, runs)


def levels(conn: Connection, promises: Snapshot, now: datetime) -> list[Level]:
    """Return every service level with its newest verdict; one that was not judged lately is unknown. One query."""
    v = t.verdict.c
    last = select(func.max(v.id)).where(v.at >= now - STALE).group_by(v.service_level)
    newest = {row.service_level: row for row in conn.execute(select(t.verdict).where(v.id.in_(last)))}
    return [_level(policy, newest.get(name)) for name, policy in sorted(promises.service_levels.items())]


def _level(policy: Any, row: Any) -> Level:
    about = (policy.name, policy.metadata.title or policy.name, policy.spec.owner)
    if row is None:
        return Level(*about, Light.UNKNOWN, "not judged", policy.spec.target, None, None, None, None, None)
    burns = [tier.get("long_burn", tier.get("long")) for tier in row.tiers if isinstance(tier, dict)]
    burn = max((float(b) for b in burns if isinstance(b, int | float)), default=None)
    light, word = OF_SERVICE_LEVEL.get(row.state, Light.UNKNOWN), row.state.replace("_", " ")
    seen = (row.attainment, row.budget_left, row.coverage, burn, row.at)
    return Level(*about, light, word, policy.spec.target, *seen)


def latest_runs(conn: Connection) -> dict[str, Mapping[str, Any]]:
    """Return the newest finished run of each comparison over all its keys: second readings say nothing of the rest. One query."""
    r = t.comparison_run.c
    full = (r.state.in_(("complete", "failed")), r.trigger != "confirmation", r.subjects.is_(None))
    last = select(func.max(r.id)).where(*full).group_by(r.comparison)
    rows = conn.execute(select(t.comparison_run).where(r.id.in_(last))).mappings()
    return {row["comparison"]: dict(row) for row in rows}


def money_owed(conn: Connection, now: datetime) -> list[Money]:
    """Return what is on its way, each document counted once however many targets it is owed to. One query."""
    d = t.delivery.c
    worth = select(d.subject, d.currency, d.money, d.promise_at).where(t.is_open, d.money.is_not(None))
    documents: dict[tuple[str, str], tuple[Decimal, bool]] = {}
    for row in conn.execute(worth):
        value, late = documents.get((row.currency, row.subject), (Decimal(0), False))
        documents[row.currency, row.subject] = max(value, row.money), late or row.promise_at < now
    sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for (currency, _), (value, late) in documents.items():
        sums[currency][0] += value if late else 0
        sums[currency][1] += value
    return sorted((Money(name, *both) for name, both in sums.items()), key=lambda money: -money.everything)


def backlog(conn: Connection) -> Backlog:
    """Return the orders that still wait for goods. One query."""
    o = t.order_state.c
    rows = conn.execute(select(o.currency, o.value, o.placed_at).where(o.state.in_(UNSHIPPED))).all()
    value: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        value[row.currency] += row.value
    return Backlog(len(rows), dict(value), min((row.placed_at for row in rows), default=None))


def _overall(flows: list[FlowRow], told: list[Incident], judged: list[Level], now: datetime) -> Tile:
    paged = any(one.severity == "page" and one.state != "resolved" for one in told)
    light = worst([*(row.light for row in flows), *(level.light for level in judged)])
    light = Light.BREACH if paged else light
    word = {Light.BREACH: "Not now", Light.WARN: "With care", Light.UNKNOWN: "Not known", Light.OK: "Yes"}[
        Light.OK if light is Light.INFO else light
    ]
    covered = [level.coverage or 0.0 for level in judged]
    known = f"{min(covered):.0%} covered" if covered else "no service level"
    target = "every flow and promise known and kept"
    return Tile(
        "overall", "Can it be trusted?", word, f"as of {now:%H:%M:%S} UTC · {known}", target, light, light, [], "/"
    )


def _money(owed: list[Money]) -> Tile:
    about = ("money", "Money at risk")
    if not owed:
        return Tile(*about, "0", "nothing of value is on its way", "0 late", Light.OK, "ok", [], "/incidents")
    first = owed[0]
    more = f" · and {len(owed) - 1} more currencies" if len(owed) > 1 else ""
    note = f"late, of {amount(first.everything, first.currency)} on its way{more}"
    light = Light.BREACH if any(money.late for money in owed) else Light.OK
    return Tile(*about, amount(first.late, first.currency), note, "0 late", light, light, [], "/incidents")


def _orders(orders: Backlog, line: Values, now: datetime) -> Tile:
    value = ", ".join(amount(worth, currency) for currency, worth in sorted(orders.value.items()))
    age = f" · oldest {span(now - orders.oldest)}" if orders.oldest else ""
    note = f"{value}{age}" if orders.orders else "no order waits for goods"
    old = orders.oldest is not None and now - orders.oldest > timedelta(days=1)
    light = Light.WARN if old else Light.OK
    return Tile(
        "backlog",
        "Orders not shipped",
        f"{orders.orders:,}",
        note,
        "none over 1 d",
        light,
        light,
        line,
        "/flows/orders",
    )


def _oversell(line: Values) -> Tile:
    about, rate = ("oversell", "Oversell"), last_known(line)
    if rate is None:
        return Tile(*about, "—", "not observed lately", "0 %", Light.UNKNOWN, "unknown", line, "/flows/stock-offers")
    light = Light.OK if rate == 0 else Light.WARN if rate < 0.025 else Light.BREACH
    note = "of order lines accepted, last hour"
    return Tile(*about, share(rate), note, "0 %, limit 2.5 %", light, light, line, "/flows/stock-offers")


def _mismatch(line: Values, runs: dict[str, Mapping[str, Any]], promises: Snapshot, now: datetime) -> Tile:
    about, link = ("mismatch", "Stock mismatch"), "/findings"
    of_stock = (one for name, one in runs.items() if _is_of_stock(promises.comparisons.get(name)))
    run = max(of_stock, key=lambda one: one["started_at"], default=None)
    why = _not_compared(run, promises, now)
    if run is None or why:
        return Tile(*about, "—", why, "0 keys", Light.UNKNOWN, "unknown", line, link)
    drift, keys, open_ = run["drift"] or 0, run["keys"] or 0, run["indeterminate"] or 0
    rate = share(drift / keys) if keys else "—"
    light = Light.BREACH if drift else Light.UNKNOWN if open_ or not keys else Light.OK
    unsure = [
        f"{number} {what}" for number, what in ((open_, "indeterminate"), (run["suspected"], "suspected")) if number
    ]
    note = " · ".join([f"{drift} of {keys:,} keys", *unsure, ago(now - run["started_at"])])
    return Tile(*about, rate, note, "0 keys", light, light, line, link)


def _is_of_stock(policy: Comparison | None) -> bool:
    return policy is None or any(side.field in ("on_hand", "available") for side in policy.spec.sides)


def _not_compared(run: Mapping[str, Any] | None, promises: Snapshot, now: datetime) -> str:
    """Say why nothing is known of how well systems agree, or nothing."""
    if run is None:
        return "no comparison has run yet"
    when = ago(now - run["started_at"])
    if run["state"] != "complete":
        return f"{run['comparison']} failed {when}"
    promised = promises.comparisons.get(run["comparison"])
    late = promised is None or now - run["started_at"] > max(3 * promised.spec.every, STALE)
    return f"last compared {when}" if late else ""


def _held(conn: Connection, line: Values, now: datetime) -> Tile:
    q = t.quarantine.c
    count, oldest = conn.execute(
        select(func.count(), func.min(q.opened_at)).where(q.state.in_(("waiting", "corrected")))
    ).one()
    note = f"oldest waits {span(now - oldest)}" if oldest else "nothing waits for a person"
    light = Light.WARN if count else Light.OK
    return Tile("quarantine", "In quarantine", f"{count:,}", note, "0 waiting", light, light, line, "/quarantine")


def _open_incidents(told: list[Incident], now: datetime) -> Tile:
    about, link = ("incidents", "Open incidents"), "/incidents"
    live = [one for one in told if one.state != "resolved"]
    if not live:
        return Tile(*about, "0", "nobody is being called", "0 open", Light.OK, "ok", [], link)
    unanswered = sum(one.state == "open" for one in live)
    oldest = ago(now - min(one.opened_at for one in live))
    light = Light.BREACH if any(one.severity == "page" for one in live) else Light.WARN
    note = f"{unanswered} not acknowledged · first {oldest}"
    return Tile(*about, f"{len(live)}", note, "0 open", light, light, [], link)


def amount(value: Decimal, currency: str) -> str:
    """Write money for people: `1,234.50 EUR`, large amounts without cents."""
    return f"{value:,.0f} {currency}" if abs(value) >= 10_000 else f"{value:,.2f} {currency}"


def share(rate: float) -> str:
    """Write a share in percent with as many digits as say something."""
    if rate and rate < 0.001:
        return "<0.1 %"
    return f"{100 * rate:.3g} %"
