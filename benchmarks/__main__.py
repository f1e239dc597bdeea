"""`python -m benchmarks [SUITE …] [--rounds N] [--rows N]`: all suites, or those named."""

import argparse
import importlib

# A suite is a module here with `run(rows, rounds)`; it prints its table and keeps what it measured.
SUITES = ("compare_files",)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Us and the peers in turns.")
    parser.add_argument("suites", nargs="*", default=list(SUITES), help=f"of {', '.join(SUITES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    if unknown := sorted(set(asked.suites) - set(SUITES)):
        parser.error(f"no suite is called {unknown[0]!r}; there are: {', '.join(SUITES)}")
    for suite in asked.suites:
        importlib.import_module(f"benchmarks.{suite}").run(rows=asked.rows, rounds=asked.rounds)


if __name__ == "__main__":
    main()
