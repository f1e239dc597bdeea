"""Feeds: many changes of listings with one document, carried out when Amazon comes to it, each with a word of its own.

Amazon takes a feed under no key of ours and tells none of its feeds from another. So each message bears a number that is kept, and noted
as used before the feed is begun: whatever breaks off afterwards, the feeds of that time are looked through for it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from controlplane.connectors import jobs
from controlplane.connectors.builtin.amazon.api import Api, listed
from controlplane.connectors.builtin.amazon.attributes import SHOWN, Target
from controlplane.connectors.builtin.amazon.documents import download, upload
from controlplane.connectors.builtin.amazon.numbering import Numbering, spoken
from controlplane.connectors.contract import Context, Write
from controlplane.connectors.http import Answer
from controlplane.connectors.jobs import JobDoubtError, Progress
from controlplane.connectors.outcomes import AWAITED, outcome_of
from controlplane.connectors.paging import by_token, expiring
from controlplane.connectors.records import loads
from controlplane.errors import ConnectorError
from rules.outcomes import Outcome, Result

FEEDS, DOCUMENTS = "/feeds/2021-06-30/feeds", "/feeds/2021-06-30/documents"
KIND, VERSION, LISTINGS_VERSION = "JSON_LISTINGS_FEED", "2.0", "2021-08-01"
CONTENT = "application/json; charset=UTF-8"
FIRST_LOOK, PATIENCE, AGAIN = 5.0, 120.0, 60.0
"""Seconds until the first look at a feed, for how long it is waited for in one go, and when it is looked at again."""
SHOWS = timedelta(minutes=5)
"""After a feed is over, what it changed shows within this time, or will not."""
SKEW = timedelta(minutes=5)
"""How far Amazon's clock may be from ours."""
KNOWN = 32
"""Reports that are remembered."""
OVER = frozenset({"DONE", "FATAL", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Message:
    """One change: the write that it is of, what the listing has to show, and the type of the listing."""

    request: Write
    target: Target
    product_type: str


@dataclass(frozen=True, slots=True)
class Report:
    """What Amazon says of a feed that is over."""

    refused: Mapping[int, str]
    """Number of a message -> why it was refused."""
    of_all: str
    """Why all of it was refused, where it was."""
    shown: Mapping[str, Mapping[str, Any]]
    """SKU -> its listing after the feed."""


class Feeds:
    """Feeds of one seller for one marketplace."""

    def __init__(self, context: Context, api: Api, seller: str, marketplace: str) -> None:
        self._context, self._api, self._seller, self._marketplace = context, api, seller, marketplace
        self.numbering = Numbering(context)
        self._reports: OrderedDict[str, Report] = OrderedDict()
        self._listed: dict[datetime, tuple[datetime, list[dict[str, Any]]]] = {}
        self._lock = threading.Lock()

    def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """Send the messages with one feed; return an outcome for each. What goes wrong is all of theirs, and none raises."""
        try:
            requests = [message.request for message in messages]
            numbers = self.numbering.take(requests)
            document = self._uploaded(self._content(messages, numbers))
            self.numbering.use(requests)
            name = jobs.submitted(partial(self._created, document), _feed_id)
        except ConnectorError as error:
            return [outcome_of(error)] * len(messages)
        return self._ended(name, messages, numbers)

    def _content(self, messages: Sequence[Message], numbers: Sequence[int]) -> bytes:
        included = sorted({one for message in messages for one in SHOWN[message.target.entity].split(",")})
        report = {"includedData": included, "apiVersion": LISTINGS_VERSION}
        told = [
            {
                "messageId": number, "sku": message.target.sku, "operationType": "PATCH", "productType": message.product_type,
                "patches": [message.target.patch],
            }
            for message, number in zip(messages, numbers, strict=True)
        ]  # fmt: skip
        header = {"sellerId": self._seller, "version": VERSION, "report": report}
        return json.dumps({"header": header, "messages": told}, separators=(",", ":"), ensure_ascii=False).encode()

    def _uploaded(self, content: bytes) -> str:
        # a document that no feed is begun with changes nothing, so this is no write
        answer = self._api.prepare(DOCUMENTS, {"contentType": CONTENT})
        try:
            told = answer.json()
            name, url = str(told["feedDocumentId"]), str(told["url"])
        except (KeyError, TypeError):
            answer.fail("answered a document for a feed without its address")
        upload(self._context, url, content, CONTENT, answer)
        return name

    def _created(self, document: str) -> Answer:
        body = {"feedType": KIND, "marketplaceIds": [self._marketplace], "inputFeedDocumentId": document}
        return self._api.tell("POST", FEEDS, body)

    def _ended(self, name: str, messages: Sequence[Message], numbers: Sequence[int]) -> list[Outcome]:
        try:
            feed = jobs.awaited(self._look, name, self._context.clock, writes=True, longest=PATIENCE, pause=FIRST_LOOK)
            report = self._report(feed)
        except JobDoubtError as error:
            return [_awaited(str(error), f"feed {name}")] * len(messages)
        except ConnectorError as error:
            return [_awaited(f"feed {name} is begun, and cannot be looked at: {error}", f"feed {name}")] * len(messages)
        status = str(feed["processingStatus"])
        pairs = zip(messages, numbers, strict=True)
        return [_outcome(name, status, report, message.target, number) for message, number in pairs]

    def _look(self, name: str) -> Progress:
        answer = self._api.ask(f"{FEEDS}/{quote(name, safe='')}")
        feed = _checked(answer.json(), answer)
        if feed["feedId"] != name:
            answer.fail(f"gave feed {feed['feedId']} for {name}")
        status = feed["processingStatus"]
        return Progress("done", result=feed) if status in OVER else Progress("running", f"it is {status}")

    # --- what became of one whose answer never came ---
    def became(self, request: Write, target: Target) -> Outcome | None:
        """Return what a feed that may hold the write has to say of it; None where none has it, or none will change anything any more.

        Raises ConnectorError.
        """
        number = self.numbering.last(request)
        if number is None or number.used_at is None:
            return None
        reach = timedelta(seconds=3 * self._context.timeout + 60)
        now = self._context.clock.now()
        for feed in self._around(number.used_at, reach):
            name, status = str(feed["feedId"]), str(feed["processingStatus"])
            if status not in OVER:
                return _awaited(f"feed {name} is {status}, and may hold {target.sku}", f"feed {name}")
            refused = self._report(feed).refused.get(spoken(number))
            if refused:
                return Outcome(Result.REJECTED, f"Amazon refused {target.sku} in feed {name}: {refused}")
            if now < _over_at(feed) + SHOWS:
                return _awaited(f"feed {name} is over, and may yet show", "the listing")
        if now < number.used_at + reach:
            return _awaited("a feed may yet be begun with it", "a feed")
        return None

    def _around(self, used_at: datetime, reach: timedelta) -> list[dict[str, Any]]:
        """Return the feeds that may have been begun with what was used at an instant; so few lists may be asked for that they are kept."""
        since, now = used_at.replace(second=0, microsecond=0), self._context.clock.now()
        with self._lock:
            asked_at, feeds = self._listed.get(since, (None, []))
            complete = asked_at is not None and asked_at > since + timedelta(minutes=1) + reach
            over = complete and all(feed["processingStatus"] in OVER for feed in feeds)
            if asked_at is None or not (over or now - asked_at < timedelta(seconds=AGAIN)):
                feeds = self._between(since - SKEW, min(now, since + timedelta(minutes=1) + reach + SKEW))
                self._listed = {at: one for at, one in self._listed.items() if now - one[0] < timedelta(hours=1)}
                self._listed[since] = (now, feeds)
            return feeds

    def _between(self, since: datetime, until: datetime) -> list[dict[str, Any]]:
        def fetch(token: str | None) -> Answer:
            if token:
                return self._api.ask(FEEDS, nextToken=token)
            asked: dict[str, Any] = {"feedTypes": KIND, "marketplaceIds": self._marketplace, "pageSize": 100}
            return self._api.ask(FEEDS, createdSince=_stamp(since), createdUntil=_stamp(until), **asked)

        found = []
        for answer in by_token(expiring(fetch), _next, listed("feeds")):
            try:
                found += [_checked(feed, answer) for feed in answer.json()["feeds"]]
            except (KeyError, TypeError):
                answer.fail("answered a list of feeds that breaks its contract")
        return found

    # --- what Amazon says of it ---
    def _report(self, feed: Mapping[str, Any]) -> Report:
        name, document = str(feed["feedId"]), feed.get("resultFeedDocumentId")
        if not document:
            return Report({}, "", {})
        with self._lock:
            if name in self._reports:
                return self._reports[name]
        answer = self._api.ask(f"{DOCUMENTS}/{quote(str(document), safe='')}")
        try:
            told = answer.json()
            url, packed = str(told["url"]), told.get("compressionAlgorithm")
        except (KeyError, TypeError, AttributeError):
            answer.fail("answered a document without its address")
        report = read_report(download(self._context, url, packed, answer).content(), name, answer)
        with self._lock:
            self._reports[name] = report
            while len(self._reports) > KNOWN:
                self._reports.popitem(last=False)
        return report


def read_report(content: bytes, feed: str, answer: Answer) -> Report:
    """Return a processing report of a feed. Raises UnreadableError for one that breaks its contract, or is another feed's."""
    try:
        told = loads(content)
        if str(told["header"]["feedId"]) != feed:
            answer.fail(f"gave the report of feed {told['header']['feedId']} for that of {feed}")
        issues = [one for one in told.get("issues") or () if one["severity"] == "ERROR"]
        refused: dict[int, str] = {}
        for one in issues:
            if one.get("messageId") is not None:
                number = int(one["messageId"])
                refused[number] = "; ".join(filter(None, (refused.get(number), _words(one))))[:500]
        summary = told.get("summary") or {}
        general = "; ".join(_words(one) for one in issues if one.get("messageId") is None)[:500]
        of_all = general if not summary.get("messagesAccepted") else ""
        return Report(refused, of_all, {str(item["sku"]): item for item in told.get("items") or ()})
    except (ArithmeticError, KeyError, TypeError, ValueError, AttributeError):
        answer.fail(f"gave a report of feed {feed} that breaks its contract")


def _words(issue: Mapping[str, Any]) -> str:
    return f"{issue['code']}: {issue['message']}" if issue.get("code") else str(issue["message"])


def _outcome(name: str, status: str, report: Report, target: Target, number: int) -> Outcome:
    """Return what became of one message of a feed that is over."""
    evidence: dict[str, Any] = {"feed": name, "message": number}
    refused = report.refused.get(number) or report.of_all
    if refused:
        return Outcome(Result.REJECTED, f"Amazon refused {target.sku} in feed {name}: {refused}", evidence=evidence)
    if status == "CANCELLED":
        return Outcome(Result.UNAVAILABLE, f"feed {name} was cancelled before it was begun", evidence=evidence)
    if status == "FATAL":
        told = f"feed {name} broke off in the middle; what it changed is not told"
        return Outcome(Result.UNKNOWN, told, evidence=evidence)
    told_value = target.value if isinstance(target.value, int) else str(target.value)
    if target.sku in report.shown and target.met(report.shown[target.sku]):
        evidence |= {"to": told_value}
        return Outcome(Result.DELIVERED, f"the listing shows {told_value} after feed {name}", evidence=evidence)
    evidence |= {"to": told_value, AWAITED: "the listing"}
    return Outcome(Result.UNKNOWN, f"accepted in feed {name}; it counts when it shows", evidence=evidence)


def _awaited(told: str, what: str) -> Outcome:
    return Outcome(Result.UNKNOWN, told, retry_after=AGAIN, evidence={AWAITED: what})


def _checked(feed: Any, answer: Answer) -> dict[str, Any]:
    try:
        if not isinstance(feed["processingStatus"], str) or not feed["feedId"]:
            raise KeyError("feedId")
        _over_at(feed)
    except (KeyError, TypeError, ValueError):
        answer.fail("answered a feed that breaks its contract")
    return dict(feed)


def _over_at(feed: Mapping[str, Any]) -> datetime:
    """Return when a feed was over; of one that was never begun, when it was made."""
    at = datetime.fromisoformat(str(feed.get("processingEndTime") or feed["createdTime"]))
    if at.tzinfo is None:
        raise ValueError(f"{at} is in no zone")
    return at


def _feed_id(answer: Answer) -> str | None:
    found = answer.json()
    return str(found["feedId"]) if isinstance(found, dict) and found.get("feedId") else None


def _next(answer: Answer) -> str | None:
    found = answer.json()
    return found.get("nextToken") if isinstance(found, dict) else None


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
