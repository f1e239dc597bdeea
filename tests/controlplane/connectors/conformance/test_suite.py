"""The suite finds what is wrong: each flaw, put into a connector that has none, fails the check that is there for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import httpx
import pytest

from controlplane import plugins
from controlplane.connectors.conformance.bench import Bench, Place
from controlplane.connectors.conformance.report import NotApplicable, Report, Verdict
from controlplane.connectors.conformance.suite import CHECKS, bench_of, run
from controlplane.connectors.contract import Draft, Inbound, Level, Page, Record, Write
from controlplane.connectors.http import Answer
from controlplane.errors import ConnectorError, NotFoundError, RejectedError, ThrottledError, UnavailableError
from rules.outcomes import Outcome, Result
from tests.controlplane.connectors.conformance.acme import AcmeBench, AcmeConnector


class EndsAfterAPage(AcmeConnector):
    """Takes the first page for all of it."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        yield next(super().poll(entity, cursor))


class RepeatsRows(AcmeConnector):
    """Pages overlap by a row, as offsets do when something is put in before."""

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        last: list[Level] = []
        for page in super().snapshot(entity, keys):
            yield [*last, *page]
            last = page[-1:]


class PagesByOffset(AcmeConnector):
    """Remembers how many it has seen, while what changes goes to the end."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        seen = int((cursor or {}).get("seen", 0))
        while rows := self._get(f"/orders?after=0&limit={seen + 10}").json()["rows"][seen:]:
            seen += len(rows)
            yield Page(tuple(_plain(row) for row in rows), {"seen": seen})


def _plain(row: dict[str, Any]) -> Record:
    body = json.dumps(row).encode()
    return Record("orders", f"orders:{row['ref']}:{row['change']}", body)


class CursorRunsAhead(AcmeConnector):
    """Gives every page the cursor of the last one."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        pages = list(super().poll(entity, cursor))
        yield from (Page(page.records, pages[-1].cursor) for page in pages)


class NewKeysEachTime(AcmeConnector):
    """Reads all of it again, under keys that are made up."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        for page in super().poll(entity, None):
            yield Page(tuple(replace(one, event_key=str(uuid4())) for one in page.records), page.cursor)


class CursorIsNoJson(AcmeConnector):
    """Keeps an object of Python in the cursor."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        for page in super().poll(entity, cursor):
            yield Page(page.records, {"at": datetime.fromisoformat("2026-11-27T06:00:00+00:00")})


class SwallowsErrors(AcmeConnector):
    """Takes a page that cannot be had for the end."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        try:
            yield from super().poll(entity, cursor)
        except ConnectorError:
            return


class TriesAgainAtOnce(AcmeConnector):
    """Does not leave alone a shop that wants to be left alone."""

    def _get(self, path: str, accept: tuple[int, ...] = ()) -> Answer:
        try:
            return super()._get(path, accept)
        except ThrottledError:
            return super()._get(path, accept)


class WaitsAsItLikes(AcmeConnector):
    """Has its own opinion for how long to wait."""

    def _get(self, path: str, accept: tuple[int, ...] = ()) -> Answer:
        try:
            return super()._get(path, accept)
        except ThrottledError as error:
            raise ThrottledError(str(error), 1.0) from error


class AllIsRejected(AcmeConnector):
    """Knows one class of error."""

    def _get(self, path: str, accept: tuple[int, ...] = ()) -> Answer:
        try:
            return super()._get(path, accept)
        except ConnectorError as error:
            raise RejectedError(str(error)) from error


class BelievesAnyAnswer(AcmeConnector):
    """Takes 200 for success, whatever is in it."""

    def _done(self, answer: Answer) -> Outcome:
        return Outcome(Result.DELIVERED, evidence=answer.evidence)


class UnknownIsUnavailable(AcmeConnector):
    """Takes a write without an answer for one that was not sent."""

    def write(self, request: Write) -> Outcome:
        outcome = super().write(request)
        return replace(outcome, result=Result.UNAVAILABLE) if outcome.result is Result.UNKNOWN else outcome


class FollowsRedirects(AcmeConnector):
    """Has a client of its own."""

    def _get(self, path: str, accept: tuple[int, ...] = ()) -> Answer:
        token = self.context.secret("token")
        headers = {"Authorization": f"Bearer {token}"}
        httpx.get(self.context.endpoint + path, headers=headers, follow_redirects=True, trust_env=False)
        return super()._get(path, accept)


class AnotherIdEachTime(AcmeConnector):
    """Makes up the id under which a fulfilment is put."""

    def _path(self, request: Write) -> str:
        made_up = {**request.payload, "shipment": str(uuid4())} if request.entity == "fulfilment" else request.payload
        return super()._path(replace(request, payload=made_up))


class NeverSeesIt(AcmeConnector):
    """Reads back that nothing is there, without a look; and puts it under another id then."""

    made = count()

    def read_back(self, request: Write) -> Outcome:
        return super().read_back(request) if request.entity == "level" else Outcome(Result.ABSENT)

    def _path(self, request: Write) -> str:
        return (
            f"{super()._path(request)}-{next(self.made)}" if request.entity == "fulfilment" else super()._path(request)
        )


class SeesItAnyway(AcmeConnector):
    """Reads back that it is there, without a look."""

    def read_back(self, request: Write) -> Outcome:
        return Outcome(Result.ALREADY_DELIVERED)


class WritesOverAnything(AcmeConnector):
    """Makes the write conditional on what it has just seen."""

    def _set(self, request: Write) -> Outcome:
        return super()._set(replace(request, payload={**request.payload, "expected": self._shown(request)}))


class TakesWhatIsNotSigned(AcmeConnector):
    """Looks at a signature where there is one only."""

    def receive(self, inbound: Inbound) -> Record:
        if "x-acme-signature" in inbound.headers:
            return super().receive(inbound)
        return Record("order.created", "order.created:x", inbound.body)


class ForgetsEvents(AcmeConnector):
    """Makes up the key of an event."""

    def receive(self, inbound: Inbound) -> Record:
        return replace(super().receive(inbound), event_key=str(uuid4()))


class OneKeyForAll(AcmeConnector):
    """Takes two events for one."""

    def receive(self, inbound: Inbound) -> Record:
        return replace(super().receive(inbound), event_key="order.created")


class BelievesTheUnsignedId(AcmeConnector):
    """Knows a fact by what is not signed: each record is another fact."""

    made = count()

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        return [
            replace(one, dedupe_key=f"{one.dedupe_key}:{next(self.made)}") for one in super().translate(topic, body)
        ]


class TellsTheToken(AcmeConnector):
    """Writes down what it sends."""

    def _get(self, path: str, accept: tuple[int, ...] = ()) -> Answer:
        logging.getLogger("acme").warning("asking with %s", self.context.secret("token"))
        return super()._get(path, accept)


class KnowsEveryStatus(AcmeConnector):
    """Breaks on a status that it has not heard of."""

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        {"paid": 1, "open": 1, "void": 0}[json.loads(body)["status"]]
        return super().translate(topic, body)


class DropsOddOrders(AcmeConnector):
    """Leaves out what has a status that it has not heard of."""

    def poll(self, entity: str, cursor: dict[str, Any] | None) -> Iterator[Page]:
        for page in super().poll(entity, cursor):
            yield Page(tuple(one for one in page.records if b"SOMETHING" not in one.body), page.cursor)


class WantsNoNewMembers(AcmeConnector):
    """Takes nothing of an order that has more than it knows."""

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        return [] if b"xNewMember" in body else super().translate(topic, body)


class ForgetsTheZone(AcmeConnector):
    """Reads the time on the clock at the wall, wherever the wall stands."""

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        drafts = super().translate(topic, body)
        return [
            replace(one, occurred_at=datetime.fromisoformat(f"{one.data['placed_at'][:19]}+00:00")) for one in drafts
        ]


class ReadsFloats(AcmeConnector):
    """Reads a price as a number of the machine."""

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        drafts = super().translate(topic, body)
        for draft in drafts:
            for line in draft.data["lines"]:
                line["unit_price"] = float(line["unit_price"])
        return drafts


class RoundsPrices(AcmeConnector):
    """Knows prices to the tenth."""

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        drafts = super().translate(topic, body)
        for draft in drafts:
            for line in draft.data["lines"]:
                line["unit_price"] = f"{float(line['unit_price']):.1f}"
        return drafts


class MessagesOfItsOwn(AcmeConnector):
    """Leaves out what every order has."""

    def translate(self, topic: str, body: bytes) -> list[Draft]:
        drafts = super().translate(topic, body)
        for draft in drafts:
            del draft.data["currency"]
        return drafts


class TakesAnything(AcmeConnector):
    """Says that a write was delivered that the shop refused."""

    def write(self, request: Write) -> Outcome:
        outcome = super().write(request)
        return replace(outcome, result=Result.DELIVERED) if outcome.result is Result.REJECTED else outcome


class HidesOutages(AcmeConnector):
    """Reads nothing where nobody listens."""

    def snapshot(self, entity: str, keys: Sequence[tuple[str, str]] | None = None) -> Iterator[list[Level]]:
        try:
            yield from super().snapshot(entity, keys)
        except UnavailableError:
            return


FLAWS: tuple[tuple[str, type[AcmeConnector], str], ...] = (
    ("paging.complete", EndsAfterAPage, "a poll from the beginning does not bring"),
    ("paging.complete", RepeatsRows, "more than once"),
    ("paging.stable", PagesByOffset, "written to between the pages"),
    ("paging.stable", RepeatsRows, "more than once"),
    ("paging.resumable", CursorRunsAhead, "from the cursor after page 1"),
    ("paging.empty", NewKeysEachTime, "nothing changed, and reading on gives events with new keys"),
    ("paging.resumable", CursorIsNoJson, "cannot be kept as JSON"),
    ("paging.unbroken", SwallowsErrors, "was taken for the end of it"),
    ("paging.huge", SwallowsErrors, "was taken for the end of it"),
    ("errors.throttled", TriesAgainAtOnce, "it was asked 2 times"),
    ("errors.throttled", WaitsAsItLikes, "it asks for 7.0 s"),
    ("errors.reads", AllIsRejected, "it has to be UnavailableError"),
    ("errors.reads", SwallowsErrors, "is no error at all"),
    ("errors.writes", BelievesAnyAnswer, "a page of some proxy is 'delivered'"),
    ("errors.writes", UnknownIsUnavailable, "it has to be unknown"),
    ("errors.unreachable", HidesOutages, "nobody listens, and that is no error at all"),
    ("errors.redirects", FollowsRedirects, "it followed a redirect"),
    ("errors.refused", TakesAnything, "the system refuses it for good"),
    ("writes.once", AnotherIdEachTime, "it took effect 3 times"),
    ("writes.after-effect", NeverSeesIt, "it took effect 2 times"),
    ("writes.crashed", NeverSeesIt, "it took effect 2 times"),
    ("writes.before-effect", SeesItAnyway, "it had no effect, and is read back as"),
    ("writes.stale", WritesOverAnything, "the target holds something newer"),
    ("webhooks.signature", TakesWhatIsNotSigned, "a webhook without a signature was taken"),
    ("webhooks.replay", ForgetsEvents, "another record the second time"),
    ("webhooks.replay", OneKeyForAll, "different webhooks have the same event key"),
    ("webhooks.replay", BelievesTheUnsignedId, "under another id it is another fact"),
    ("values.unknown-codes", KnowsEveryStatus, "breaks the connector with KeyError"),
    ("values.unknown-codes", DropsOddOrders, "0 records come"),
    ("values.new-members", WantsNoNewMembers, "nothing that is polled becomes a message"),
    ("values.canonical", MessagesOfItsOwn, "is no order.placed"),
    ("values.zones", ForgetsTheZone, "written as +05:30 are others"),
    ("values.decimals", ReadsFloats, "holds a float"),
    ("values.decimals", RoundsPrices, "1234567.89 in its answers is not"),
    ("secrets.untold", TellsTheToken, "a secret was told"),
)


def tried(connector: type[AcmeConnector], chosen: str = "") -> Report:
    """What the suite says of a connector to an Acme shop."""

    class Flawed(AcmeBench):
        pass

    Flawed.connector = connector
    return run("acme_shop", Flawed(), chosen)


@pytest.mark.parametrize(("check", "connector", "told"), FLAWS, ids=lambda one: getattr(one, "__name__", None))
def test_a_flaw_fails_the_check_that_is_there_for_it(check: str, connector: type[AcmeConnector], told: str) -> None:
    report = tried(connector, check)
    assert [finding.verdict for finding in report.findings] == [Verdict.FAILED], report.text()
    assert told in report.findings[0].detail
    assert not report.passed


def test_every_check_that_applies_to_the_example_is_failed_by_some_flaw() -> None:
    report = tried(AcmeConnector)
    assert report.passed, report.text()
    applied = {finding.check for finding in report.findings if finding.verdict is Verdict.PASSED}
    assert applied == {check for check, _, _ in FLAWS}


class NoSystem(Bench):
    """A bench whose system cannot be started here."""

    connector = AcmeConnector
    against = "nothing"

    def start(self, folder: Path) -> Place:
        raise NotApplicable("there is no acme-server here; install it")


def test_a_system_that_cannot_be_started_is_never_taken_for_passed() -> None:
    report = run("acme_shop", NoSystem())
    assert {finding.verdict for finding in report.findings} == {Verdict.NOT_APPLICABLE}
    assert {finding.detail for finding in report.findings} == {"there is no acme-server here; install it"}
    assert not report.passed


class LeastBench(AcmeBench):
    """A bench that says where the system is, and no more."""

    several_pages: ClassVar = {}
    enums: ClassVar = {}
    things = identities = stir = write = effects = stale = refused = webhooks = None  # type: ignore[assignment]


def test_what_a_bench_leaves_out_does_not_apply_and_says_why() -> None:
    for name in (
        "things",
        "identities",
        "stir",
        "write",
        "effects",
        "stale",
        "refused",
        "webhooks",
        "under_another_id",
    ):
        setattr(LeastBench, name, getattr(Bench, name))
    report = run("acme_shop", LeastBench(), "paging.complete")
    [finding] = report.findings
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "the bench cannot make 'orders'" in finding.detail


class ShortSecrets(AcmeBench):
    """Gives the connector secrets that are too short to be looked for."""

    def start(self, folder: Path) -> Place:
        return replace(super().start(folder), secrets={"token": "t", "webhook_secret": "w"})


def test_secrets_that_are_too_short_to_be_looked_for_are_never_taken_for_none() -> None:
    [finding] = run("acme_shop", ShortSecrets(), "secrets").findings
    assert (finding.verdict, finding.detail[:63]) == (
        Verdict.FAILED, "the bench's secrets (token, webhook_secret) are all shorter than"[:63],
    )  # fmt: skip


def test_a_report_is_told_as_text_and_as_json() -> None:
    report = tried(EndsAfterAPage, "paging")
    document = json.loads(json.dumps(report.document()))
    assert (document["connector"], document["passed"]) == ("acme_shop", False)
    assert {"check", "title", "verdict", "detail"} == set(document["checks"][0])
    assert "failed         paging.complete: Bring everything" in report.text()


@pytest.fixture
def benchless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed connector whose makers wrote no bench."""
    told = tmp_path / "benchless-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: benchless\nVersion: 1.0\n", encoding="utf-8")
    made = f"[trueup.connectors]\nbenchless = {AcmeConnector.__module__}:{AcmeConnector.__name__}\n"
    (told / "entry_points.txt").write_text(made, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.registered.cache_clear()
    yield "benchless"
    monkeypatch.undo()
    plugins.registered.cache_clear()


def test_a_connector_without_a_bench_and_a_check_that_there_is_not_are_told_with_what_there_is(benchless: str) -> None:
    with pytest.raises(NotFoundError, match=r"'benchless' has no bench.*trueup\.conformance"):
        bench_of(benchless)
    with pytest.raises(NotFoundError, match="no plugin 'nobody'"):
        bench_of("nobody")
    with pytest.raises(NotFoundError, match=r"no check begins with 'nothing'; there are: paging\.empty"):
        run("acme_shop", AcmeBench(), "nothing")


def test_every_check_has_a_title_of_its_own() -> None:
    titles = [check.title for check in CHECKS]
    assert all(titles)
    assert len(set(titles)) == len(titles)
