"""`python -m benchmarks [SUITE …] [--rounds N] …`: all suites, or those named."""

import argparse
import importlib

# A suite is a module with `options(parser)`, which adds what can be asked of it, and `run(asked)`, which measures, prints its
# table, and keeps what it measured unless `asked.keep` is false.
SUITES = {
    "compare": "benchmarks.compare.suite",
    "dispatch": "benchmarks.dispatch.suite",
    "simulation": "benchmarks.simulation",
    "snapshot": "benchmarks.snapshot.suite",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Us and the peers in turns.")
    parser.add_argument("suites", nargs="*", default=list(SUITES), help=f"of {', '.join(SUITES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-keep", dest="keep", action="store_false", help="print only; leave results and docs alone")
    suites = {name: importlib.import_module(module) for name, module in SUITES.items()}
    for name, suite in suites.items():
        suite.options(parser.add_argument_group(name))
    asked = parser.parse_args()
    if unknown := sorted(set(asked.suites) - set(SUITES)):
        parser.error(f"no suite is called {unknown[0]!r}; there are: {', '.join(SUITES)}")
    for name in asked.suites:
        suites[name].run(asked)


if __name__ == "__main__":
    main()
