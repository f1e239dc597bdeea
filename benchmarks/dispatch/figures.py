"""The figures that are promised, by their names, computed from the readings; and the tables for people. Pure."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from benchmarks.dispatch.cases import accept, backlog, deliver, latency, ledger, metrics, single
from benchmarks.dispatch.peers import PEERS
from benchmarks.dispatch.readings import Reading

Side = tuple[str, str]
"""Contender and store."""
STORES = ("sqlite", "postgres")


def figures(readings: Sequence[Reading]) -> dict[str, float]:
    """Return every figure that the readings allow. Ratios are medians of the ratios of each round."""
    found = {**_accept(readings), **_single(readings), **_deliver(readings), **_latency(readings)}
    found |= {**_backlog(readings), **_ledger(readings), **_metrics(readings)}
    return {name: round(value, 3) for name, value in found.items() if value is not None}


def values(readings: Iterable[Reading], case: str, side: Side, name: str) -> dict[int, float]:
    """Return round -> value."""
    mine = (r for r in readings if (r.case, r.contender, r.store) == (case, *side))
    return {r.round: r.values[name] for r in mine if name in r.values}


def median(readings: Iterable[Reading], case: str, side: Side, name: str) -> float | None:
    """Return the median over the rounds; None where it was not measured."""
    found = values(readings, case, side, name)
    return statistics.median(found.values()) if found else None


def ratio(readings: Sequence[Reading], case: str, over: Side, under: Side, name: str = "rate") -> float | None:
    """Return the median of the rounds' own ratios; None where no round has both sides."""
    upper, lower = values(readings, case, over, name), values(readings, case, under, name)
    both = [upper[number] / lower[number] for number in upper if lower.get(number)]
    return statistics.median(both) if both else None


Found = dict[str, float | None]


def _accept(r: Sequence[Reading]) -> Found:
    name = accept.NAME
    return {f"accept_ratio_{s}": ratio(r, name, (accept.OURS, s), (accept.FLOOR, s)) for s in STORES}


def _single(r: Sequence[Reading]) -> Found:
    """Without a store in its name: the embedded default's."""
    found: Found = {}
    for store in STORES:
        stored, nothing, slow, each = (
            (who, store) for who in (single.STORED, single.NOTHING, single.SLOW, single.SLOW_EACH)
        )
        found[f"single_accept_ratio_{store}"] = ratio(r, single.NAME, stored, nothing)
        found[f"single_accept_read_ratio_{store}"] = ratio(r, single.NAME, stored, (single.READ, store))
        found[f"requests_per_commit_{store}"] = median(r, single.NAME, stored, "requests_per_commit")
        found[f"single_accept_gain_{store}"] = ratio(r, single.NAME, slow, each)
    return found | {name.removesuffix("_sqlite"): value for name, value in found.items() if name.endswith("_sqlite")}


def _deliver(r: Sequence[Reading]) -> Found:
    name, ours, floor = deliver.NAME, deliver.OURS, deliver.FLOOR
    floors: Found = {f"deliver_ratio_{s}": ratio(r, name, (ours, s), (floor, s)) for s in STORES}
    here = (ours, "postgres")
    beside: Found = {f"vs_{peer.name}": ratio(r, name, here, (peer.name, peer.service)) for peer in PEERS}
    return {
        **floors,
        **beside,
        "two_workers": ratio(r, name, (deliver.OURS_TWICE, "postgres"), here),
        "two_workers_floor": ratio(r, name, (deliver.FLOOR_TWICE, "postgres"), (floor, "postgres")),
    }


def _latency(r: Sequence[Reading]) -> Found:
    """Without a store in its name: the slower store's."""
    found: Found = {}
    for name in ("p50_ms", "p95_ms"):
        each = {store: median(r, latency.NAME, (latency.OURS, store), name) for store in STORES}
        found |= {f"{name}_{store}": value for store, value in each.items()}
        found[name] = _chosen(each.values(), max)
    floors = {
        f"latency_ratio_{s}": ratio(r, latency.NAME, (latency.OURS, s), (latency.FLOOR, s), "p50_ms") for s in STORES
    }
    return {**found, **floors}


def _backlog(r: Sequence[Reading]) -> Found:
    found: Found = {}
    for store in STORES:
        few, many = (backlog.SMALL, store), (backlog.LARGE, store)
        for value in ("claim_ms", "rss_mb", "rate"):
            found[f"backlog_{value}_few_{store}"] = median(r, backlog.NAME, few, value)
            found[f"backlog_{value}_{store}"] = median(r, backlog.NAME, many, value)
            found[f"backlog_{value}_ratio_{store}"] = ratio(r, backlog.NAME, many, few, value)
    return found


def _ledger(r: Sequence[Reading]) -> Found:
    """Without a store in its name: the worst of accepting and delivering on either store."""
    found: Found = {}
    for store in STORES:
        for kind in ("accept", "deliver"):
            full, empty = (ledger.FULL, store), (ledger.EMPTY, store)
            found[f"full_ledger_{kind}_ratio_{store}"] = ratio(r, ledger.NAME, full, empty, f"{kind}_rate")
    worst = _chosen(found.values(), min)
    floors = {
        f"full_ledger_floor_{s}": ratio(r, ledger.NAME, (ledger.FLOOR_FULL, s), (ledger.FLOOR_EMPTY, s), "accept_rate")
        for s in STORES
    }
    return {**found, **floors, "full_ledger_ratio": worst}


def _metrics(r: Sequence[Reading]) -> Found:
    each = {store: median(r, metrics.NAME, (metrics.OURS, store), "p50_ms") for store in STORES}
    return {**{f"metrics_ms_{s}": value for s, value in each.items()}, "metrics_ms": _chosen(each.values(), max)}


def _chosen(found: Iterable[float | None], choose: Callable[[list[float]], float]) -> float | None:
    known = [value for value in found if value is not None]
    return choose(known) if known else None
