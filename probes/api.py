"""Whether each system answers us, and how fast: measured through its own connector."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from controlplane.connectors.contract import UnsupportedError
from controlplane.errors import ConnectorError, ThrottledError, TrueupError
from controlplane.health.observations import Observation, ProbeContext

WORKERS = 8


def probe(ctx: ProbeContext) -> list[Observation]:
    """Ping every system at the same time, so that one which hangs delays no other's figure."""
    names = sorted(ctx.snapshot.systems)
    if not names:
        return []
    with ThreadPoolExecutor(min(WORKERS, len(names)), thread_name_prefix="ping") as pool:
        answers = list(pool.map(lambda name: _ping(ctx, name), names))
    return [seen for answer in answers for seen in answer]


def _ping(ctx: ProbeContext, system: str) -> list[Observation]:
    began = ctx.clock.stopwatch()
    try:
        ctx.connections.get(system).ping()
    except UnsupportedError:
        return []
    except ThrottledError as error:
        return _observations(ctx, system, ctx.clock.stopwatch() - began, True, str(error))
    except ConnectorError as error:
        return _observations(ctx, system, None, False, str(error))
    except TrueupError as error:
        return _observations(ctx, system, None, None, str(error))
    return _observations(ctx, system, ctx.clock.stopwatch() - began, True, None)


def _observations(
    ctx: ProbeContext, system: str, seconds: float | None, up: bool | None, note: str | None
) -> list[Observation]:
    at, labels = ctx.clock.now(), {"system": system}
    return [
        Observation("api_latency", at, seconds, labels, note=note),
        Observation("api_up", at, None if up is None else float(up), labels, note=note),
        Observation("api_down", at, None if up is None else float(not up), labels, note=note),
    ]
