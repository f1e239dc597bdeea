"""What a vendor's headers say is left of its limit is heard from every answer, and believed for as long as it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from controlplane.connectors.allowances import FORGET, Left, told_by
from controlplane.connectors.builtin.shopify.api import left_of
from controlplane.connectors.contract import Connector, Context
from controlplane.connectors.http import HttpClient
from controlplane.connectors.redaction import Redactor
from controlplane.errors import ThrottledError
from rules.pacing import Allowance
from tests.controlplane.connectors.bad_server import BadServer, Habit
from tests.controlplane.connectors.conftest import START, Given, Retailer, offer

EPOCH = str(int(START.timestamp()) + 30)


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"ratelimit": '"default";r=50;t=30'}, Allowance(50, 30)),
        ({"ratelimit": '"day";r=9000;t=80000, "burst";r=2;t=1'}, Allowance(2, 1)),
        ({"ratelimit": '"default";r=7'}, Allowance(7)),
        ({"ratelimit-remaining": "12", "ratelimit-reset": "8"}, Allowance(12, 8)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": EPOCH}, Allowance(0, 30)),
        ({"x-rate-limit-remaining": "3", "x-rate-limit-reset": f"{EPOCH}000"}, Allowance(3, 30)),
        ({"x-rate-limit-requests-left": "4", "x-rate-limit-time-reset-ms": "1500"}, Allowance(4, 1.5)),
        ({"x-shopify-shop-api-call-limit": "39/40"}, Allowance(1)),
        ({"x-shopify-shop-api-call-limit": "44/40"}, Allowance(0)),
        ({"x-ratelimit-remaining": "1", "ratelimit": '"default";r=9;t=2'}, Allowance(1)),
        ({"x-ratelimit-remaining": "nan"}, None),
        ({"x-ratelimit-remaining": "-1"}, None),
        ({"x-ratelimit-remaining": "many", "x-ratelimit-limit": "40"}, None),
        ({"x-ratelimit-reset": "30"}, None),
        ({"ratelimit": "r=x;t=y"}, None),
        ({"x-shopify-shop-api-call-limit": "40"}, None),
        ({}, None),
    ],
)
def test_each_form_of_header_says_what_is_left(headers: dict[str, str], left: Allowance | None) -> None:
    assert told_by(headers, START) == left


def test_what_was_said_holds_until_the_limit_is_whole_again() -> None:
    left = Left()
    left.note(Allowance(0, 30), START)
    assert left.at(START + timedelta(seconds=10)) == Allowance(0, 20)
    assert left.at(START + timedelta(seconds=31)) is None
    assert left.at(START - timedelta(seconds=1)) is None, "the clock was put back"
    left.note(Allowance(5), START)
    assert left.at(START + FORGET) == Allowance(5)
    assert left.at(START + FORGET * 2) is None


class Plain(Connector):
    """A connector that says nothing of limits itself."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.http = HttpClient(context, Redactor([]))


@pytest.fixture
def plain(bad_server: BadServer) -> Callable[[Habit], Plain]:
    def made(habit: Habit) -> Plain:
        bad_server.script(habit)
        return Plain(Given(bad_server.url).context())

    return made


def test_a_connector_has_heard_what_the_answers_to_it_said(plain: Callable[[Habit], Plain]) -> None:
    connector = plain(Habit(RateLimit='"default";r=3;t=9'))
    assert connector.allowance() is None
    connector.http.send("POST", "/thing", write=True)
    assert connector.allowance() == Allowance(3, 9)


def test_so_it_has_of_a_refusal(plain: Callable[[Habit], Plain]) -> None:
    connector = plain(Habit(429, X_RateLimit_Remaining="0", X_RateLimit_Reset="60", Retry_After="1"))
    with pytest.raises(ThrottledError):
        connector.http.send("POST", "/thing", write=True)
    assert connector.allowance() == Allowance(0, 60)


def test_fetching_a_token_says_nothing_of_the_systems_limit(plain: Callable[[Habit], Plain]) -> None:
    connector = plain(Habit(RateLimit='"tokens";r=0;t=900'))
    connector.http.send("POST", "/token", write=False, limited=False)
    assert connector.allowance() is None


def test_a_shop_that_counts_costs_says_how_many_such_queries_it_would_take() -> None:
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": 25.0, "restoreRate": 100.0}
    assert left_of({"cost": {"requestedQueryCost": 10, "throttleStatus": status}}) == Allowance(2.5, 0)
    assert left_of({"cost": {"requestedQueryCost": 125, "throttleStatus": status}}) == Allowance(0.2, 1.0)
    assert left_of({"cost": {}}) is None
    assert left_of({}) is None


def test_the_shop_of_the_sandbox_is_heard(retailer: Retailer) -> None:
    shop = retailer.connector("shop")
    shop.write(offer("0007-BLK-M", 30, 38))
    told = shop.allowance()
    assert told is not None
    assert told.remaining > 10
