"""The command `trueup compare`: exit code 0 the files agree, 1 they differ, 2 they could not be compared."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from probes.comparisons.answer.model import Result

AGREE, DIFFER, COULD_NOT_COMPARE = 0, 1, 2


def app_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Two or more: files (CSV, also .gz, JSON Lines, Parquet), tables (URL#TABLE), snapshots (folders)."
        ),
    ],
    key: Annotated[str, typer.Option(help="Key columns, separated by commas; always compared as text.")],
    value: Annotated[str, typer.Option(help="Value columns, separated by commas; compared as exact decimals.")],
    tolerance: Annotated[str, typer.Option(help="Largest difference that still agrees (inclusive).")] = "0",
    name: Annotated[list[str] | None, typer.Option(help="What to call a file; once per file, in their order.")] = None,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="FILE:COLUMN=NAME where a file spells a column otherwise.")
    ] = None,
    decimal: Annotated[list[str] | None, typer.Option(help="FILE=, or FILE=. to set a file's decimal mark.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report for people to this file.")] = None,
    differences: Annotated[
        Path | None, typer.Option(help="Write every difference to this file, .parquet or .csv.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and nothing else.")] = False,
    limit: Annotated[int, typer.Option(help="How many differences to list, the worst first.")] = 100,
    memory_limit: Annotated[str | None, typer.Option(help="Of the engine, e.g. 2GB; the rest goes to disk.")] = None,
) -> None:
    """Compare two files, tables or snapshots, or more, by key, and show where they disagree.

    Exit code 0: every key agrees. 1: some differ, or a row could not be read. 2: could not compare.
    """
    from probes.comparisons.answer.problems import CouldNotCompare
    from probes.comparisons.files.request import split_columns
    from probes.comparisons.sources import Asked, compare_sources

    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # nothing here is linear algebra: NumPy need not start its threads
    try:
        _check_target(html, sources)
        asked = Asked(
            split_columns(key), split_columns(value), tolerance, name or (), map_ or (), decimal or (), limit, differences, memory_limit
        )  # fmt: skip
        result = _watched(partial(compare_sources, sources, asked), len(sources) + 1)
        if html is not None:
            _write_report(html, result)
    except CouldNotCompare as failure:
        for problem in failure.problems:
            typer.echo(f"trueup compare: {_one_line(problem)}", err=True)
        raise typer.Exit(COULD_NOT_COMPARE) from failure
    _tell(result, as_json=as_json, html=html)
    raise typer.Exit(AGREE if result.agrees else DIFFER)


def _watched(run: Callable[..., "Result"], steps: int) -> "Result":
    """Run with a progress bar where somebody is looking."""
    if not sys.stderr.isatty():
        return run()
    from probes.comparisons.answer.terminal import progress_bar

    with progress_bar(steps) as progress:
        return run(progress=progress)


def _check_target(html: Path | None, inputs: Sequence[str | Path]) -> None:
    from probes.comparisons.answer.problems import CouldNotCompare

    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise CouldNotCompare([f"--html {html}: must be a file in a folder that exists"])
    if html is not None and html.exists() and any(Path(path).exists() and html.samefile(path) for path in inputs):
        raise CouldNotCompare(
            [f"--html {html}: is one of the files that are compared; name another file for the report"]
        )


def _write_report(html: Path, result: "Result") -> None:
    from probes.comparisons.answer.problems import CouldNotCompare
    from probes.comparisons.answer.report import render

    try:
        html.write_text(render(result), encoding="utf-8")
    except OSError as error:
        raise CouldNotCompare([f"--html {html}: cannot be written: {error.strerror or error}"]) from error


def _tell(result: "Result", *, as_json: bool, html: Path | None) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_json(), ensure_ascii=True))
        return
    from probes.comparisons.answer.terminal import print_result

    print_result(result)
    if html is not None:
        typer.echo(f"Report: {html}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
