"""The policies that the benchmark runs by."""

from __future__ import annotations

from benchmarks.dispatch.connector import BenchConnector
from benchmarks.dispatch.ours import PACK
from controlplane.registry.manifests import declared, uninstalled
from rules.policy.lint import lint
from rules.policy.reading import read_policies


def test_the_pack_of_the_benchmark_has_no_problem() -> None:
    texts = [(path.name, path.read_text(encoding="utf-8")) for path in sorted(PACK.glob("*.yaml"))]
    entries, problems = read_policies(texts)
    assert texts
    assert [*problems, *lint(entries, {"bench": declared(BenchConnector.manifest)}), *uninstalled(entries)] == []
