"""Lint: each refusal, with its file and line, its rule and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from rules.indicators import INDICATORS
from rules.outcomes import Guarantee
from rules.policy.abilities import Declared
from rules.policy.kinds import ServiceLevelSpec
from rules.policy.lint import lint
from rules.policy.problems import Problem
from rules.policy.reading import Entry, read_policies

BASE = """\
{apiVersion: trueup/v1, kind: Team, metadata: {name: ops}, spec: {members: [{username: a, name: A}]}}
---
{apiVersion: trueup/v1, kind: System, metadata: {name: erp}, spec: {connector: books, owner: ops, role: erp, endpoint: x}}
---
{apiVersion: trueup/v1, kind: System, metadata: {name: shop}, spec: {connector: store, owner: ops, role: shop, endpoint: x}}
---
{apiVersion: trueup/v1, kind: System, metadata: {name: pager}, spec: {connector: inlet, owner: ops, role: incident, endpoint: x}}
---
{apiVersion: trueup/v1, kind: EscalationPath, metadata: {name: path}, spec: {steps: [{after: 0s, team: ops, system: pager}]}}
---
{apiVersion: trueup/v1, kind: RetryPolicy, metadata: {name: retry}, spec: {budget: 1m}}
---
{apiVersion: trueup/v1, kind: Calendar, metadata: {name: days}, spec: {}}
---
apiVersion: trueup/v1
kind: Domain
metadata: {name: stock}
spec: {owner: ops, entities: {stock: {system_of_record: erp}}, latency: 1m, escalation: path}
"""


def problems_of(text: str, manifests: dict[str, Declared] | None = None) -> list[Problem]:
    """Return every problem of a text beside the base documents, which have none."""
    entries, refused = read_policies([("base.yaml", BASE), ("new.yaml", text)])
    return sorted([*refused, *lint(entries, manifests, refused)])


def document(kind: str, spec: str, name: str = "new") -> str:
    """Return a document: kind in line 2, name in line 3, the spec from line 5 on."""
    return f"apiVersion: trueup/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"


@dataclass(frozen=True)
class Case:
    """A text that is refused, and where and why."""

    text: str
    place: str
    rule: str
    remedy: str


LEVEL = "  indicator: delivery_success\n  owner: ops\n  escalation: path\n  target: 0.9\n  window: 7d\n"
FLOW = "  domain: stock\n  owner: ops\n  source: erp\n  method: event\n  retry: retry\n  promise: 1m\n"
COMPARISON = "  kind: inventory\n  domain: stock\n  owner: ops\n  locations: [A]\n  every: 5m\n  promise: 1m\n"
SIDES = "  sides:\n  - {system: erp, entity: x, field: on_hand}\n  - {system: shop, entity: y, field: available}\n"
TIERS = "  tiers:\n  - "
ACCOUNTING = "  on: sale.recorded\n  owner: ops\n  entry: e\n  currency: USD\n"
DOMAIN = "  owner: ops\n  latency: 1m\n  escalation: path\n"
SYSTEM = "  connector: books\n  owner: ops\n  role: erp\n"
LOCATIONS = "---\n" + document(
    "Mapping", "  system: erp\n  entity: location\n  codes: {'1': WH1, '2': ST1}\n", name="places"
)
ALERT = "  indicator: queue_age\n  owner: ops\n  escalation: path\n  severity: page\n  title: Late\n"
TARGETED = "  message_types: [order.placed]\n  targets: [{system: shop, entity: order}]\n"
PATIENT = "---\n" + document("RetryPolicy", "  budget: 1d\n", name="patient")
DAY_ONLY = "---\n" + document("Team", "  members: [{username: d, name: D, on_call: false}]\n", name="day")


def kept(spec: str) -> str:
    """A domain that keeps its messages like this; the retention is in line 9."""
    return document("Domain", DOMAIN + "  entities: {thing: {system_of_record: erp}}\n" + f"  retention: {spec}\n")


CASES = {
    "a window longer than observations are kept": Case(
        document("ServiceLevel", LEVEL.replace("7d", "999999999d") + TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"),
        "9:3 spec.window", "longer than 90d: what was observed before is not kept", "write at most 90d"),
    "a budget without bounds": Case(document("RetryPolicy", "  budget: 999999999d\n"),
        "5:3 spec.budget", "longer than 366d", "write at most 366d"),
    "a budget of a class without bounds": Case(document("RetryPolicy", "  classes: {unknown: {cap: 999999999d}}\n"),
        "5:23 spec.classes.unknown.cap", "longer than 366d", "write at most 366d"),
    "a comparison's promise without bounds": Case(
        document("Comparison", COMPARISON.replace("promise: 1m", "promise: 999999999d") + SIDES + "  source_side: erp\n"),
        "10:3 spec.promise", "longer than 366d", "write at most 366d"),
    "a comparison that is never due": Case(
        document("Comparison", COMPARISON.replace("every: 5m", "every: 999999999d") + SIDES + "  source_side: erp\n"),
        "9:3 spec.every", "longer than 366d", "write at most 366d"),
    "a time-out of a day": Case(document("System", SYSTEM + "  endpoint: x\n  timeout: 1d\n"),
        "9:3 spec.timeout", "longer than 1h: a worker would wait", "write at most 1h"),
    "slices shorter than what observations are kept by": Case(
        document("ServiceLevel", LEVEL + "  slice: 5s\n" + TIERS + "{severity: page, long: 5m, short: 30s, factor: 2}\n"),
        "10:3 spec.slice", "observations are kept by the minute", "write 1m or more"),
    "a threshold that no age lies below": Case(
        document("ServiceLevel", LEVEL.replace("delivery_success", "stock_freshness") + "  threshold: 0s\n"
            + TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"),
        "10:3 spec.threshold", "no age lies below 0 s", "write for instance 2m"),
    "a label that no series has": Case(
        document("ServiceLevel", LEVEL + "  labels: {targt: erp}\n" + TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"),
        "10:12 spec.labels.targt", "no series of 'delivery_success' has the label 'targt'", "did you mean 'target'?"),
    "a label whose value is nothing": Case(
        document("ServiceLevel", LEVEL + "  labels: {target: erpp}\n" + TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"),
        "10:12 spec.labels.target", "there is no System 'erpp'", "did you mean 'erp'?"),
    "an alert on a flow that there is not": Case(document("AlertRule", ALERT + "  labels: {flow: nope}\n  above: 1\n  clear_at: 1\n"),
        "10:12 spec.labels.flow", "there is no Flow 'nope'", "add one"),
    "an alert with a label of an indicator that has none": Case(
        document("AlertRule", ALERT.replace("queue_age", "oversell_rate") + "  labels: {flow: x}\n  above: 1\n  clear_at: 1\n"),
        "10:12 spec.labels.flow", "has the label 'flow'", "take it out"),
    "a time-out of nothing": Case(document("System", SYSTEM + "  endpoint: x\n  timeout: 0s\n"),
        "9:3 spec.timeout", "nothing answers within 0 s", "write for instance 10s"),
    "a class that is tried again at once": Case(document("RetryPolicy", "  classes: {unknown: {first: 0s}}\n"),
        "5:23 spec.classes.unknown.first", "hammers a system", "write for instance 1s"),
    "a class whose cap is nothing": Case(document("RetryPolicy", "  classes: {unknown: {cap: 0s}}\n"),
        "5:23 spec.classes.unknown.cap", "shorter than the first delay 1s of this class", "at least 1s"),
    "a member without a name": Case(document("Team", "  members: [{username: ' ', name: X}]\n"),
        "5:14 spec.members.0.username", "nobody has an account without a name", "signs in with"),
    "a safety stock below nothing": Case(document("AllocationRule", "  channel: shop\n  locations: [A]\n  per_sku: {S-1: -5}\n"),
        "7:13 spec.per_sku.S-1", "would sell what is not there", "write 0 or more"),
    "an entity that was misspelt": Case(document("Domain", DOMAIN + "  entities: {stok: {system_of_record: erp}}\n"),
        "8:14 spec.entities.stok", "no message speaks of 'stok'", "did you mean 'stock'?"),
    "a comparison that heals to what is not of record": Case(document("Comparison", COMPARISON + SIDES + "  source_side: shop\n"),
        "14:3 spec.source_side", "'shop' is not of record for 'stock'", "name erp"),
    "an entry that is made twice": Case(
        "\n---\n".join(
            document("AccountingRule", ACCOUNTING + "  calendar: days\n  lines: [{account: a, side: debit, amount: price},"
                " {account: b, side: credit, amount: price}]\n", name=name) for name in ("one", "two")
        ),
        "19:3 spec.entry", "makes the entry 'e' of sale.recorded already", "keep one of the two"),
    "kept for less than a day": Case(kept("{raw: 2h}"),
        "9:15 spec.retention.raw", "2h is shorter than a day", "write 1d to 36500d"),
    "kept for longer than anybody lives": Case(kept("{messages: 40000d, attempts: 1d}"),
        "9:15 spec.retention.messages", "longer than a hundred years", "write 1d to 36500d"),
    "attempts kept longer than their messages": Case(kept("{messages: 60d, attempts: 90d}"),
        "9:30 spec.retention.attempts", "longer than the messages that they belong to (60d)", "write at most 60d"),
    "archived into memory": Case(kept("{archive: 'memory://ledger'}"),
        "9:15 spec.retention.archive", "is gone with the process", "write for instance file:///var/archive"),
    "archived to where nothing can be written": Case(kept("{archive: 'https://example.com/ledger'}"),
        "9:15 spec.retention.archive", "nothing can be written by https://", "s3://bucket/ledger"),
    "archived to a folder that lies anywhere": Case(kept("{archive: var/archive}"),
        "9:15 spec.retention.archive", "the folder 'var/archive' is not absolute", "file:///var/archive"),
    "archived by a chain of protocols": Case(kept("{archive: 'zip://x::s3://bucket'}"),
        "9:15 spec.retention.archive", "a chain of protocols", "s3://bucket/ledger"),
    "archived to no folder": Case(kept("{archive: 's3://'}"),
        "9:15 spec.retention.archive", "names no folder", "s3://bucket/ledger"),
    "archived to a folder above": Case(kept("{archive: 'file:///var/../etc'}"),
        "9:15 spec.retention.archive", "climbs up", "write the folder itself"),
    "a password in an archive's address": Case(kept("{archive: 'sftp://u:secret@host/ledger'}"),
        "9:15 spec.retention.archive", "the address holds a password", "take it out"),
    "unknown kind": Case("apiVersion: trueup/v1\nkind: Flwo\nmetadata: {name: x}\nspec: {}\n",
        "2:1 kind", "unknown kind 'Flwo'", "did you mean 'Flow'?"),
    "unknown apiVersion": Case("apiVersion: v2\nkind: Team\n", "1:1 apiVersion", "unknown apiVersion 'v2'", "trueup/v1"),
    "missing head": Case("metadata: {name: x}\n", "1:1 kind", "the key 'kind' is missing", "kinds there are"),
    "not a mapping": Case("- 1\n- 2\n", "1:1 ", "a policy is a mapping", "docs/policies.md"),
    "unknown key": Case(document("RetryPolicy", "  first: 1s\n  bugdet: 1h\n"),
        "6:3 spec.bugdet", "unknown key 'bugdet'", "did you mean 'budget'?"),
    "unknown key deep down": Case(document("Flow", FLOW + "  message_types: [order.placed]\n  targets:\n  - {system: erp, entty: x}\n"),
        "13:19 spec.targets.0.entty", "unknown key 'entty'", "did you mean 'entity'?"),
    "no owner": Case(document("Flow", FLOW.replace("  owner: ops\n", "") + "  message_types: [order.placed]\n"),
        "4:1 spec.owner", "the key 'owner' is missing", "write 'owner: …'"),
    "wrong type": Case(document("AllocationRule", "  channel: shop\n  locations: [A]\n  safety_stock: many\n"),
        "7:3 spec.safety_stock", "a number is wanted, and 'many' was given", "digits without quotes"),
    "number for yes or no": Case(document("Flow", FLOW + "  message_types: [order.placed]\n  standby: 0\n"),
        "12:3 spec.standby", "true or false is wanted, and '0' was given", "without quotes"),
    "number for text": Case(document("Mapping", "  system: erp\n  entity: sku\n  codes:\n    A: 12\n"),
        "8:5 spec.codes.A", "text is wanted, and '12' was given", 'put it in quotes: "12"'),
    "wrong word": Case(document("Mapping", "  system: erp\n  entity: skus\n  codes: {}\n"),
        "6:3 spec.entity", "'skus' is none of the words taken here", "did you mean 'sku'?"),
    "unit of nobody's": Case(document("Mapping", "  system: erp\n  entity: unit\n  codes:\n    ST: EA\n    KT: twelve\n"),
        "9:5 spec.codes.KT", "'twelve' is no unit of ours", "for instance '12 EA'"),
    "path of no field": Case(document("Domain", DOMAIN + "  entities: {}\n  correction:\n    approve_fields: [price, 'a[']\n"),
        "10:29 spec.correction.approve_fields.1", "'a[' is no path", "write one like body.lines[0].sku"),
    "wrong duration": Case(document("RetryPolicy", "  first: fast\n"), "5:3 spec.first", "'fast' is not a duration", "90s"),
    "wrong name": Case(document("RetryPolicy", "  {}\n", name="My Policy"),
        "3:12 metadata.name", "'My Policy' is not written as it must be", "lower-case letters"),
    "empty list": Case(document("EscalationPath", "  steps: []\n"), "5:3 spec.steps", "nothing is listed", "'steps: …'"),
    "key twice": Case(document("RetryPolicy", "  first: 1s\n  first: 2s\n"),
        "6:3 spec.first", "the key 'first' is told twice (first in line 5)", "keep one"),
    "broken YAML": Case("kind: [Team\nspec: }\n", "2:", "", "correct the YAML"),
    "anchor": Case("kind: &a Team\n", "1:7 ", "anchors and aliases are not taken", "write the value out"),
    "tagged list": Case("kind: !!python/object/apply:os.system [x]\n", "1:7 kind", "is not taken", "take the tag out"),
    "tag": Case("kind: !!python/object:os.system x\n", "1:7 kind", "is not taken", "plain text"),
    "bottomless": Case("[" * 5000, "1:41 ", "nested deeper than 40 levels", "flatten"),
    "name twice": Case(document("Team", "  members: [{username: b, name: B}]\n", name="ops"),
        "3:12 metadata.name", "there is a Team of this name already (base.yaml:1)", "rename one"),
    "dangling team": Case(document("AlertRule", ALERT.replace("owner: ops", "owner: opps") + "  above: 1\n  clear_at: 0\n"),
        "6:3 spec.owner", "there is no Team 'opps'", "did you mean 'ops'?"),
    "dangling system": Case(document("Flow", FLOW + "  message_types: [order.placed]\n  targets:\n  - {system: epr, entity: x}\n"),
        "13:6 spec.targets.0.system", "there is no System 'epr'", "did you mean 'erp'?"),
    "dangling retry": Case(document("Flow", FLOW.replace("retry: retry", "retry: never") + "  message_types: [order.placed]\n"),
        "9:3 spec.retry", "there is no RetryPolicy 'never'", "RetryPolicy documents there are: retry"),
    "dangling domain": Case(document("Flow", FLOW.replace("domain: stock", "domain: money") + "  message_types: [order.placed]\n"),
        "5:3 spec.domain", "there is no Domain 'money'", "stock"),
    "dangling escalation": Case(document("AlertRule", ALERT.replace("path", "ladder") + "  above: 1\n  clear_at: 0\n"),
        "7:3 spec.escalation", "there is no EscalationPath 'ladder'", "path"),
    "dangling comparison": Case(document("Domain", DOMAIN + "  entities: {}\n  reconciliation: c\n"),
        "9:3 spec.reconciliation", "there is no Comparison 'c'", "there are no Comparison documents yet"),
    "dangling calendar": Case(document("AccountingRule", ACCOUNTING
        + "  calendar: moon\n  lines: [{account: a, side: debit, amount: price}, {account: b, side: credit, amount: price}]\n"),
        "9:3 spec.calendar", "there is no Calendar 'moon'", "days"),
    "unknown message type": Case(document("Flow", FLOW + "  message_types: [order.place]\n"),
        "11:19 spec.message_types.0", "unknown message type 'order.place'", "did you mean 'order.placed'?"),
    "poll without what": Case(document("Flow", FLOW.replace("event", "poll") + "  message_types: [order.placed]\n"),
        "8:3 spec.method", "a flow by poll has to say what is read", "add 'read'"),
    "target twice": Case(document("Flow", FLOW + "  message_types: [order.placed]\n"
        "  targets: [{system: erp, entity: x}, {system: erp, entity: x}]\n"),
        "12:13 spec.targets.0", "erp/x is a target twice", "keep one"),
    "escalation to a system of another role": Case(document("EscalationPath", "  steps:\n  - {after: 0s, team: ops, system: erp}\n"),
        "6:28 spec.steps.0.system", "the System 'erp' has the role erp, and incident is wanted here", "role is incident"),
    "escalation to nobody at first": Case(document("EscalationPath", "  steps:\n  - {after: 5m, team: ops, system: pager}\n"),
        "6:6 spec.steps.0.after", "nobody is told at once", "after: 0s"),
    "a tier that never fires": Case(document("ServiceLevel", LEVEL + TIERS + "{severity: page, long: 1h, short: 5m, factor: 14.4}\n"),
        "11:43 spec.tiers.0.factor", "the tier can never fire: at a target of 0.9 the error budget burns at most 10 times", "below 10"),
    "short not below long": Case(document("ServiceLevel", LEVEL + TIERS + "{severity: page, long: 5m, short: 5m, factor: 2}\n"),
        "11:32 spec.tiers.0.short", "the short window 5m is not shorter than the long one 5m", "twelfth"),
    "slice too long": Case(document("ServiceLevel", LEVEL + "  slice: 2m\n" + TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"),
        "12:32 spec.tiers.0.short", "the short window 5m holds fewer than 3 slices of 2m", "at least 6m"),
    "window too short": Case(document("ServiceLevel", LEVEL.replace("7d", "1h")
        + TIERS + "{severity: page, long: 6h, short: 30m, factor: 2}\n"),
        "11:22 spec.tiers.0.long", "the long window 6h is longer than the level's window 1h", "at most 1h"),
    "freshness without age": Case(document("ServiceLevel", LEVEL.replace("delivery_success", "stock_freshness")
        + TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"),
        "4:1 spec.threshold", "freshness needs an age", "threshold: 2m"),
    "budget below the first delay": Case(document("RetryPolicy", "  first: 10s\n  cap: 20s\n  budget: 5s\n"),
        "7:3 spec.budget", "the budget 5s ends before the first retry after 10s", "more than 10s"),
    "cap below the first delay": Case(document("RetryPolicy", "  first: 10s\n  cap: 5s\n"),
        "6:3 spec.cap", "the cap 5s is shorter than the first delay 10s", "at least 10s"),
    "unknown channel": Case(document("AllocationRule", "  channel: shpo\n  locations: [A]\n"),
        "5:3 spec.channel", "there is no System 'shpo'", "did you mean 'shop'?"),
    "channel that sells nothing": Case(document("AllocationRule", "  channel: erp\n  locations: [A]\n"),
        "5:3 spec.channel", "the System 'erp' has the role erp, and marketplace or shop or till is wanted here", "role"),
    "entry that cannot balance": Case(document("AccountingRule", ACCOUNTING
        + "  calendar: days\n  lines: [{account: a, side: debit, amount: price}, {account: b, side: credit, amount: cost}]\n"),
        "10:3 spec.lines", "price is debited 1 and credited 0 times", "equally often"),
    "source side elsewhere": Case(document("Comparison", COMPARISON + SIDES + "  source_side: wms\n"),
        "14:3 spec.source_side", "the source side 'wms' is not among the sides", "sides there are: erp, shop"),
    "stock compared nowhere": Case(document("Comparison", COMPARISON.replace("  locations: [A]\n", "") + SIDES + "  source_side: erp\n"),
        "4:1 spec.locations", "stock is compared at locations, and none is named", "name one or more"),
    "a location's own side that has it not": Case(document("Comparison", COMPARISON + SIDES
        + "  source_side: erp\n  source_sides: {A: till}\n"),
        "15:18 spec.source_sides.A", "'till' is no side that has 'A'", "name a side that has it"),
    "healing of what is not stock": Case(document("Comparison", COMPARISON.replace("inventory", "completeness") + SIDES
        + "  source_side: erp\n  heal: {enabled: true}\n"),
        "15:10 spec.heal.enabled", "nothing that a comparison of kind 'completeness' finds is healed", "write false"),
    "a freeze of no calendar": Case(document("Comparison", COMPARISON + SIDES
        + "  source_side: erp\n  heal: {calendar: peak}\n"),
        "15:10 spec.heal.calendar", "there is no Calendar 'peak'", "Calendar documents there are: days"),
    "alert that flaps": Case(document("AlertRule", ALERT + "  above: 5\n  clear_at: 6\n"),
        "11:3 spec.clear_at", "it clears at 6, above the 5 at which it fires", "at most 5"),
    "unknown indicator": Case(document("AlertRule", ALERT.replace("queue_age", "queue_aeg") + "  above: 1\n  clear_at: 0\n"),
        "5:3 spec.indicator", "unknown indicator 'queue_aeg'", "did you mean 'queue_age'?"),
    "an indicator like no other": Case(document("AlertRule", ALERT.replace("queue_age", "nonsense") + "  above: 1\n  clear_at: 0\n"),
        "5:3 spec.indicator", "unknown indicator 'nonsense'", "indicators there are: api_down, api_latency"),
    "reading at the plane": Case(document("Flow", FLOW.replace("source: erp", "source: plane")
        + "  message_types: [order.placed]\n  read: orders\n"),
        "12:3 spec.read", "there is nothing to read at the plane itself", "name a System"),
    "a comparison of a location that nobody has": Case(document("Comparison", COMPARISON.replace("[A]", "[WH1, WHX]")
        + SIDES + "  source_side: erp\n") + LOCATIONS,
        "8:20 spec.locations.1", "no Mapping of a location translates to 'WHX'", "did you mean 'WH1'?"),
    "stock kept back at a location that nobody has": Case(document("AllocationRule", "  channel: shop\n  locations: [XX]\n") + LOCATIONS,
        "6:15 spec.locations.0", "no Mapping of a location translates to 'XX'", "locations there are: ST1, WH1"),
    "entity of two domains": Case(document("Domain", DOMAIN + "  entities:\n    stock: {system_of_record: shop}\n"),
        "9:5 spec.entities.stock", "'stock' has a system of record in another domain already (Domain 'stock', base.yaml:17)", "one domain"),
    "a path into Vault that leads out of it": Case(
        document("System", SYSTEM + "  endpoint: x\n  secrets:\n    token: vault:secret/../sys#t\n"),
        "10:5 spec.secrets.token", "a secret is given by reference, never by value", "vault:MOUNT/PATH#FIELD"),
    "a path into Vault without a field": Case(document("System", SYSTEM + "  endpoint: x\n  secrets:\n    token: vault:secret/a\n"),
        "10:5 spec.secrets.token", "a secret is given by reference, never by value", "vault:MOUNT/PATH#FIELD"),
    "a threshold without end": Case(document("AlertRule", ALERT + "  above: '1e999'\n  clear_at: 0\n"),
        "10:3 spec.above", "a finite number is wanted, and '1e999' was given", "write digits"),
    "a promise of nothing": Case(document("Flow", FLOW.replace("promise: 1m", "promise: 0s")
        + "  message_types: [order.placed]\n"), "10:3 spec.promise", "takes longer than 0 s", "1m"),
    "an acknowledgement of nothing": Case(
        document("EscalationPath", "  acknowledge_within: 0s\n  steps:\n  - {after: 0s, team: ops, system: pager}\n"),
        "5:3 spec.acknowledge_within", "over at once", "30m"),
    "no order that is young enough": Case(document("Comparison", COMPARISON + "  window: 0s\n" + SIDES + "  source_side: erp\n"),
        "11:3 spec.window", "nothing would be compared", "7d"),
    "a setting of the plane as a secret": Case(
        document("System", SYSTEM + "  endpoint: x\n  secrets:\n    token: env:TRUEUP_ADMIN_PASSWORD\n"),
        "10:5 spec.secrets.token", "TRUEUP_ADMIN_PASSWORD is a setting of the plane", "a secret of its own"),
    "a secret by value in an option": Case(document("System", SYSTEM + "  endpoint: http://h\n  options:\n    apiKey: hunter2\n"),
        "10:5 spec.options.apiKey", "a secret is given by reference, never by value", "under spec.secrets"),
    "a password in an endpoint": Case(document("System", SYSTEM + "  endpoint: https://u:hunter2@host/\n"),
        "8:3 spec.endpoint", "a secret is given by reference, never by value", "env:NAME"),
    "secret by value": Case(document("System", SYSTEM + "  endpoint: x\n  secrets:\n    token: hunter2\n"),
        "10:5 spec.secrets.token", "a secret is given by reference, never by value", "file:NAME"),
    "a loopback address": Case(document("System", SYSTEM + "  endpoint: http://127.0.0.1:8081/erp\n  internal: ['127.0.0.1:8082']\n"),
        "8:3 spec.endpoint", "127.0.0.1:8081 is loopback", "add '127.0.0.1:8081' to spec.internal"),
    "the metadata service, pair or not": Case(document("System", SYSTEM + "  endpoint: http://169.254.169.254/x\n"),
        "8:3 spec.endpoint", "is a metadata service of a cloud", "no policy can allow that"),
    "a pair that nothing can allow": Case(document("System", SYSTEM + "  endpoint: x\n  internal: ['169.254.169.254:80']\n"),
        "9:14 spec.internal.0", "which no policy can allow", "take it out"),
    "loopback as a whole": Case(document("System", SYSTEM + "  endpoint: x\n  internal: [127.0.0.0/8]\n"),
        "9:14 spec.internal.0", "'127.0.0.0/8' is no exact pair of host and port", "write for instance 10.1.2.3:8443"),
    "the sandbox without its pair": Case(document("System", SYSTEM + "  endpoint: ${SANDBOX}/x\n"),
        "8:3 spec.endpoint", "${SANDBOX} is loopback", "add '${SANDBOX}' to spec.internal"),
    "archived to a host": Case(kept("{archive: 'ftp://127.0.0.1:9/ledger'}"),
        "9:15 spec.retention.archive", "an address of ftp:// names a host here", "write to a bucket"),
    "unknown placeholder": Case(document("System", SYSTEM + "  endpoint: ${HOEM}/x\n"),
        "8:3 spec.endpoint", "unknown placeholder ${HOEM}", "did you mean 'HOME'?"),
    "unknown time zone": Case(document("Calendar", "  zone: Mars/Olympus\n"), "5:3 spec.zone", "unknown time zone", "Europe/Berlin"),
    "tried for longer than is promised": Case(document("Flow", FLOW.replace("retry: retry", "retry: patient") + TARGETED) + PATIENT,
        "9:3 spec.retry", "'patient' goes on for 1d, and the flow promises 1m", "'retry_past_promise'"),
    "tried for longer at one target": Case(document("Flow", FLOW + TARGETED.replace("order}", "order, retry: patient}")) + PATIENT,
        "12:43 spec.targets.0.retry", "'patient' goes on for 1d", "shorten the budget"),
    "a flow slower than its domain": Case(document("Flow", FLOW.replace("promise: 1m", "promise: 2m")
        + "  message_types: [order.placed]\n"),
        "10:3 spec.promise", "the flow promises 2m, and its domain 'stock' 1m", "at most 1m"),
    "read too seldom for its domain": Case(document("Flow", FLOW.replace("event", "poll")
        + "  message_types: [order.placed]\n  read: orders\n  poll_every: 5m\n"),
        "13:3 spec.poll_every", "what is read every 5m cannot be everywhere within the 1m of 'stock'", "at most 1m"),
    "a step to whom nobody is on call": Case(document("EscalationPath", "  steps:\n  - {after: 0s, team: day, system: pager}\n")
        + DAY_ONLY, "6:17 spec.steps.0.team", "of the Team 'day' nobody is on call", "put a member on call"),
    "freeze without a zone": Case(document("Calendar", '  freezes: [["2026-11-27T00:00:00", "2026-11-28T00:00:00Z"]]\n'),
        "5:13 spec.freezes.0", "a freeze is a pair of instants with a time zone", "2026-11-27T00:00:00Z"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_is_refused_with_its_line_its_rule_and_a_remedy(case: Case) -> None:
    found = problems_of(case.text)
    matching = [
        p
        for p in found
        if f"{p.line}:{p.column} {p.path}".startswith(case.place) and case.rule in p.rule and case.remedy in p.remedy
    ]
    assert matching, "\n".join(map(str, found))
    assert all(problem.file == "new.yaml" for problem in found)


def test_the_documents_that_the_cases_are_put_beside_have_no_problem() -> None:
    assert problems_of("") == []


def test_all_problems_are_told_in_the_order_of_their_places() -> None:
    text = document("RetryPolicy", "  first: never\n  bugdet: 1h\n  cap: 1\n")
    found = problems_of(text + "---\nkind: Nonsense\n")
    assert [problem.line for problem in found] == [5, 6, 7, 9, 9]


def test_a_problem_reads_as_place_thing_rule_and_remedy() -> None:
    (found,) = problems_of(document("RetryPolicy", "  bugdet: 1h\n"))
    assert str(found) == "new.yaml:5:3: RetryPolicy/new spec.bugdet: unknown key 'bugdet'; did you mean 'budget'?"


def test_a_secret_may_lie_in_the_environment_in_a_file_or_in_vault() -> None:
    for reference in ("env:T", "file:shop.token", "vault:secret/shop/api#token", "vault:team/kv/data/shop#api-token"):
        text = document("System", SYSTEM + f"  endpoint: x\n  secrets:\n    token: {reference}\n")
        assert not [found for found in problems_of(text) if "secrets" in found.path]


def test_a_secret_given_by_value_is_not_shown() -> None:
    for name in ("a password in an endpoint", "a secret by value in an option"):
        assert "hunter2" not in "".join(map(str, problems_of(CASES[name].text)))
    assert "hunter2" not in "".join(map(str, problems_of(CASES["secret by value"].text)))


def test_words_that_other_yaml_readers_take_for_something_else_stay_text() -> None:
    text = document(
        "Mapping", '  system: erp\n  entity: sku\n  codes:\n    no: on\n    007: 0042\n    12:30: 1e\n    "1": "2"\n'
    )
    entries, refused = read_policies([("new.yaml", text)])
    assert refused == []
    assert entries[0].document.model_dump()["spec"]["codes"] == {"no": "on", "007": "0042", "12:30": "1e", "1": "2"}


def test_trying_on_past_the_promise_is_for_who_says_why() -> None:
    text = document(
        "Flow", FLOW.replace("retry: retry", "retry: patient") + TARGETED + "  retry_past_promise: it was paid for\n"
    )
    assert problems_of(text + PATIENT) == []
    untargeted = document("Flow", FLOW.replace("retry: retry", "retry: patient") + "  message_types: [order.placed]\n")
    assert problems_of(untargeted + PATIENT) == [], "nothing is delivered by it"


def test_a_team_whose_accounts_are_all_disabled_owns_nothing_and_answers_for_nothing() -> None:
    entries, _ = read_policies([("base.yaml", BASE)])
    assert lint(entries, gone={"somebody"}) == []
    found = lint(entries, gone={"a"})
    owners = [one for one in found if one.path == "spec.owner"]
    assert {f"{one.kind}/{one.name}" for one in owners} == {"System/erp", "System/shop", "System/pager", "Domain/stock"}
    assert "of the Team 'ops' nobody is left" in owners[0].rule
    assert [one.rule for one in found if one not in owners] == ["of the Team 'ops' nobody is on call"]


DOCUMENT_FLOW = document(
    "Flow", FLOW + "  message_types: [order.placed]\n  targets:\n  - {system: shop, entity: order}\n"
)
KNOWN = {"books": Declared(), "inlet": Declared()}


def writing(entity: str, guarantee: Guarantee) -> dict[str, Declared]:
    """Return manifests of which the shop's connector writes one entity."""
    return {**KNOWN, "store": Declared(writes=frozenset({(entity, guarantee)}))}


def test_a_document_flow_to_a_target_without_guarantee_needs_the_risk_named() -> None:
    manifests = writing("order", Guarantee.NONE)
    (found,) = problems_of(DOCUMENT_FLOW, manifests)
    assert "shop/order does not protect order.placed from taking effect twice" in found.rule
    named = DOCUMENT_FLOW.replace("entity: order", "entity: order, accept_risk: the desk checks by hand")
    assert problems_of(named, manifests) == []
    assert problems_of(DOCUMENT_FLOW, writing("order", Guarantee.READABLE)) == []


def test_a_state_flow_needs_no_guarantee() -> None:
    text = DOCUMENT_FLOW.replace("order.placed", "stock.offer")
    assert problems_of(text, writing("order", Guarantee.NONE)) == []


def test_a_budget_that_ends_before_an_unanswered_write_can_be_read_back_is_refused() -> None:
    late = Declared(writes=frozenset({("order", Guarantee.READABLE)}), late_effects={"order": timedelta(seconds=20)})
    short = document("RetryPolicy", "  budget: 25s\n", name="short")
    flow = DOCUMENT_FLOW.replace("entity: order", "entity: order, retry: short")
    (found,) = problems_of(f"{flow}---\n{short}", {**KNOWN, "store": late})
    assert "spec.targets.0.retry" in str(found) or "spec.targets[0].retry" in str(found)
    assert "'short' gives up after 25s, and a write to shop/order that was not answered within 10s" in found.rule
    assert "give it a budget of 30s or more" in found.remedy
    enough = short.replace("25s", "30s")
    assert problems_of(f"{flow}---\n{enough}", {**KNOWN, "store": late}) == []


def test_a_retry_policy_of_a_target_that_there_is_not_is_refused() -> None:
    (found,) = problems_of(DOCUMENT_FLOW.replace("entity: order", "entity: order, retry: retri"))
    assert (found.path, found.rule) == ("spec.targets.0.retry", "there is no RetryPolicy 'retri'")
    assert found.remedy == "did you mean 'retry'?"


def test_a_target_that_is_not_made_from_what_the_flow_brings_is_refused() -> None:
    writes = frozenset({("order", Guarantee.KEYED), ("journal", Guarantee.KEYED)})
    takes = {"order": frozenset({"order.placed"}), "journal": frozenset({"posting.made"})}
    manifests = {**KNOWN, "store": Declared(writes=writes, takes=takes)}
    (found,) = problems_of(DOCUMENT_FLOW.replace("entity: order", "entity: journal"), manifests)
    assert found.path == "spec.targets.0.entity"
    assert found.rule == "the connector 'store' writes 'journal' from posting.made, not from order.placed"
    assert found.remedy == "write entity: order"
    assert problems_of(DOCUMENT_FLOW, manifests) == []
    assert problems_of(DOCUMENT_FLOW, {**KNOWN, "store": Declared(writes=writes)}) == []


def test_an_entity_that_the_connector_does_not_write_is_refused() -> None:
    (found,) = problems_of(DOCUMENT_FLOW, writing("orders", Guarantee.KEYED))
    assert (found.rule, found.remedy) == ("the connector 'store' does not write 'order'", "did you mean 'orders'?")
    assert found.line == 13


def test_a_connector_that_is_not_installed_is_refused() -> None:
    found = problems_of("", {"store": Declared(), "inlet": Declared()})
    assert [str(problem) for problem in found] == [
        "base.yaml:3:69: System/erp spec.connector: there is no connector plugin 'books'; connectors there are: inlet, store"
    ]


def test_documents_without_a_file_are_told_by_their_names() -> None:
    entries, _ = read_policies([("x", document("RetryPolicy", "  first: 10s\n  cap: 5s\n"))])
    (found,) = lint([Entry(entries[0].document)])
    assert str(found).startswith("RetryPolicy/new spec.cap: the cap 5s is shorter")


STORE = Declared(
    writes=frozenset({("available", Guarantee.CONDITIONAL)}),
    reads=frozenset({"orders", "items"}),
    snapshots=frozenset({"levels"}),
    secrets=frozenset({"token", "hook"}),
    webhook_secrets=frozenset({"hook"}),
    options=frozenset({"realm", "locations"}),
)
ABLE = {"books": Declared(snapshots=frozenset({"balance"})), "inlet": Declared(), "store": STORE}
BARE = "  owner: ops\n  role: shop\n  endpoint: x\n"
ONLINE = document("System", "  connector: store\n" + BARE + "  secrets: {token: env:T}\n", name="online")


def told(text: str, manifests: dict[str, Declared]) -> list[str]:
    """Return the problems in the text itself: the base documents know nothing of secrets."""
    return [str(problem) for problem in problems_of(text, manifests) if problem.file == "new.yaml"]


def test_a_scheme_that_the_connector_does_not_speak_is_refused() -> None:
    folder = ABLE | {"store": replace(STORE, schemes=frozenset())}
    for text, able, remedy in (
        ("gopher://vendor.example", ABLE, "write an address of http:// or https://"),
        ("file:///etc/passwd", folder, "write the path of a folder"),
    ):
        (found,) = told(ONLINE.replace("endpoint: x", f"endpoint: '{text}'"), able)
        scheme = text.partition(":")[0]
        assert (
            found == f"new.yaml:8:3: System/online spec.endpoint: the connector 'store' speaks no {scheme}://; {remedy}"
        )
    assert told(ONLINE.replace("endpoint: x", "endpoint: https://vendor.example/api"), ABLE) == []


def test_an_option_or_a_secret_that_the_connector_does_not_take_is_refused() -> None:
    assert told(ONLINE + "  options: {reelm: a, locations: [A]}\n", ABLE) == [
        "new.yaml:10:13: System/online spec.options.reelm: the connector 'store' takes no option 'reelm'; did you mean 'realm'?"
    ]
    assert told(ONLINE.replace("{token", "{hok: env:H, token"), ABLE) == [
        "new.yaml:9:13: System/online spec.secrets.hok: the connector 'store' takes no secret 'hok'; did you mean 'hook'?"
    ]


def test_what_a_connector_has_none_of_has_to_be_taken_out() -> None:
    text = document("System", "  connector: inlet\n" + BARE + "  options: {realm: a}\n", name="online")
    (found,) = told(text, ABLE)
    assert found.startswith(
        "new.yaml:9:13: System/online spec.options.realm: the connector 'inlet' takes no option 'realm'; "
    )
    assert found.endswith("; take it out: this connector has no options")


def test_a_name_of_a_secret_that_is_like_none_there_is_is_not_shown() -> None:
    found = told(ONLINE.replace("{token", "{planted_s3cr3t: env:H, token"), ABLE)
    assert found == [
        "new.yaml:9:3: System/online spec.secrets: the connector 'store' takes no such secret; secrets there are: hook, token"
    ]


def test_a_secret_that_the_connector_cannot_work_without_has_to_be_given() -> None:
    (found,) = told(ONLINE.replace("{token: env:T}", "{}"), ABLE)
    assert found.startswith(
        "new.yaml:9:3: System/online spec.secrets: the connector 'store' needs the secret 'token'; "
    )
    assert found.endswith("; add 'token: env:NAME' or 'token: file:NAME' to spec.secrets")


def test_the_secret_of_webhooks_is_needed_by_a_system_that_a_flow_hears_events_of() -> None:
    flow = document("Flow", FLOW.replace("source: erp", "source: online") + "  message_types: [order.placed]\n")
    (found,) = told(ONLINE + "---\n" + flow, ABLE)
    assert found.startswith(
        "new.yaml:9:3: System/online spec.secrets: the connector 'store' needs the secret 'hook' to"
    )
    polled = flow.replace("event", "batch")
    assert told(ONLINE + "---\n" + polled, ABLE) == []
    assert told(ONLINE.replace("{token", "{hook: env:H, token") + "---\n" + flow, ABLE) == []


@pytest.mark.parametrize(
    ("read", "remedy"), [("itemz", "did you mean 'items'?"), ("levels", "entities to poll there are: items, orders")]
)
def test_a_flow_reads_what_the_connector_of_its_source_can_be_polled_for(read: str, remedy: str) -> None:
    flow = document("Flow", FLOW.replace("source: erp", "source: shop") + "  message_types: [order.placed]\n")
    assert told(f"{flow}  read: {read}\n", ABLE) == [
        f"new.yaml:12:3: Flow/new spec.read: the connector 'store' cannot be polled for '{read}'; {remedy}"
    ]
    assert told(flow + "  read: items\n", ABLE) == []


def test_a_side_of_a_comparison_is_a_snapshot_of_its_connector() -> None:
    sides = SIDES.replace("entity: x", "entity: balance").replace("entity: y", "entity: level")
    text = document("Comparison", COMPARISON + sides + "  source_side: erp\n")
    assert told(text, ABLE) == [
        "new.yaml:13:20: Comparison/new spec.sides.1.entity: the connector 'store' has no snapshot of 'level'; did you mean 'levels'?"
    ]
    assert told(text.replace("level,", "levels,"), ABLE) == []


def test_a_side_of_orders_is_a_listing_of_its_connector() -> None:
    sides = SIDES.replace("entity: x", "entity: balance").replace(
        "entity: y, field: available", "entity: order, field: listed"
    )
    text = document("Comparison", COMPARISON + sides + "  source_side: erp\n")
    able = {**ABLE, "store": replace(STORE, listings=frozenset({"orders"}))}
    assert told(text, able) == [
        "new.yaml:13:20: Comparison/new spec.sides.1.entity: the connector 'store' has no listing of 'order'; did you mean 'orders'?"
    ]
    assert told(text.replace("order,", "orders,"), able) == []


def test_any_location_will_do_where_codes_stand_for_themselves() -> None:
    rule = document("AllocationRule", "  channel: shop\n  locations: [XX]\n")
    assert problems_of(rule) == []
    assert problems_of(rule + LOCATIONS + "  strict: false\n") == []


def test_names_of_documents_that_could_not_be_read_are_not_missed() -> None:
    retry = document("RetryPolicy", "  bugdet: 1h\n", name="slow")
    flow = document("Flow", FLOW.replace("retry: retry", "retry: slow") + "  message_types: [order.placed]\n")
    assert [p.rule for p in problems_of(f"{retry}---\n{flow}")] == ["unknown key 'bugdet'"]
    misspelt = retry.replace("RetryPolicy", "RetryPolice")
    assert [p.rule for p in problems_of(f"{misspelt}---\n{flow}")] == ["unknown kind 'RetryPolice'"]
    other = flow.replace("retry: slow", "retry: slwo")
    assert [p.rule for p in problems_of(f"{retry}---\n{other}")] == [
        "unknown key 'bugdet'",
        "there is no RetryPolicy 'slwo'",
    ]


def test_nothing_is_missed_while_a_text_cannot_be_read_at_all() -> None:
    flow = document("Flow", FLOW.replace("retry: retry", "retry: slow") + "  message_types: [order.placed]\n")
    (found,) = problems_of(f"{flow}---\nkind: [\n")
    assert found.remedy == "correct the YAML at this place"


def test_locations_are_not_missed_while_a_mapping_could_not_be_read() -> None:
    rule = document("AllocationRule", "  channel: shop\n  locations: [DC2]\n")
    faulty = LOCATIONS.replace("places", "other").replace("codes:", "coeds:").replace("erp", "shop")
    assert {p.kind for p in problems_of(rule + LOCATIONS + faulty)} == {"Mapping"}


def test_every_indicator_that_a_service_level_may_name_is_known() -> None:
    words = ServiceLevelSpec.model_json_schema()["properties"]["indicator"]["enum"]
    assert set(words) <= set(INDICATORS)


def test_a_label_that_a_series_has_is_taken() -> None:
    tier = TIERS + "{severity: page, long: 1h, short: 5m, factor: 2}\n"
    assert problems_of(document("ServiceLevel", LEVEL + "  labels: {target: erp}\n" + tier)) == []


TAXED = document(
    "AccountingRule",
    ACCOUNTING.replace("sale.recorded", "shipment.shipped") + "  calendar: days\n"
    "  lines: [{account: a, side: debit, amount: gross}, {account: b, side: credit, amount: net},"
    " {account: c, side: credit, amount: tax}]\n"
    "  tax: {system: engine, ship_from: {A: {country: US}}}\n",
)
ENGINE = "---\n" + document("System", "  connector: books\n  owner: ops\n  role: tax\n  endpoint: x\n", name="engine")
ASKING = "---\n" + document(
    "Flow",
    FLOW.replace("source: erp", "source: plane").replace("event", "orchestrated")
    + "  message_types: [tax.asked]\n  targets: [{system: engine, entity: tax_check}]\n",
    name="asking",
)


def test_a_posting_that_waits_for_a_tax_engine_needs_one_that_is_asked() -> None:
    assert problems_of(TAXED + ENGINE + ASKING) == []
    (unasked,) = problems_of(TAXED + ENGINE)
    assert (unasked.path, unasked.remedy) == (
        "spec.tax.system",
        "add a Flow of source plane, message_types [tax.asked] and the target engine",
    )
    (other,) = problems_of(TAXED + ENGINE.replace("role: tax", "role: erp") + ASKING)
    assert other.rule == "the System 'engine' has the role erp, and tax is wanted here"
    (nobody,) = problems_of(TAXED)
    assert nobody.rule == "there is no System 'engine'"


def test_tax_is_posted_only_where_it_is_checked_and_gross_balances_net_and_tax() -> None:
    unchecked = "\n".join(line for line in TAXED.splitlines() if "tax: {" not in line)
    (found,) = problems_of(unchecked)
    assert found.path == "spec.lines.0.amount"
    lopsided = TAXED.replace(" {account: c, side: credit, amount: tax}", "") + ENGINE + ASKING
    (found,) = problems_of(lopsided)
    assert found.rule == "the entry cannot balance: tax is debited 1 and credited 0 times"
    (found,) = problems_of(TAXED.replace("shipment.shipped", "return.received") + ENGINE + ASKING)
    assert found.path == "spec.tax"
