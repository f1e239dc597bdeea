"""Single requests over HTTP from 64 clients: against the same server that stores nothing, and with a slow disk against a commit each."""

import http.client
import json
from collections.abc import Sequence
from functools import partial

from benchmarks.dispatch import routes
from benchmarks.dispatch.bench import Bench
from benchmarks.dispatch.processes import module
from benchmarks.dispatch.readings import Reading, Turn, Values
from benchmarks.dispatch.services import free_port

NAME = "single"
CLIENTS = 64
PAUSE = 0.005
STORED, NOTHING, SLOW, SLOW_EACH = "trueup", "storing nothing", "trueup, 5 ms commits", "a commit each, 5 ms commits"
READ = "read and validated, storing nothing"
PATHS = {NOTHING: "/bench/nothing", READ: "/bench/read", SLOW_EACH: "/bench/one"}
SLOWER = {SLOW_EACH: 8}
"""Contenders that get a fraction of the requests: they would take minutes."""


def run(bench: Bench) -> Sequence[Reading]:
    turns = [
        Turn(who, kind, partial(_measured, bench, kind, who))
        for kind in bench.stores.kinds
        for who in (STORED, NOTHING, READ, SLOW, SLOW_EACH)
    ]
    return bench.in_turns(NAME, turns)


def _measured(bench: Bench, kind: str, who: str, _number: int) -> Values:
    pause = str(PAUSE) if who in (SLOW, SLOW_EACH) else "0"
    with bench.database(kind) as url:
        environment = bench.environment(url, TRUEUP_PORT=str(free_port()), **{routes.PAUSE: pause})
        with bench.serving(module("ours", "serve"), environment) as server:
            return _flooded(bench, server, who, environment)


def _flooded(bench: Bench, server: dict[str, str], who: str, environment: dict[str, str]) -> Values:
    path, size = PATHS.get(who, server["path"]), bench.sizes.requests // SLOWER.get(who, 1)
    load = module("load", "flood", server["port"], path, server["token"])
    warm = 4 * CLIENTS
    bench.ask([*load, "0", str(warm), str(CLIENTS)], environment)
    before = _commits(server)
    values = bench.ask([*load, str(warm), str(size), str(CLIENTS)], environment)
    commits = _commits(server) - before
    return values | ({"requests_per_commit": size / commits} if commits else {})


def _commits(server: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(server["port"]), timeout=30)
    connection.request("GET", "/bench/commits", headers={"Authorization": f"Bearer {server['token']}"})
    commits = int(json.loads(connection.getresponse().read())["commits"])
    connection.close()
    return commits
