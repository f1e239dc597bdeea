"""The answer on a terminal: what was read, the counts, the worst differences; a progress bar while it is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from probes.comparisons.answer.model import Result
from probes.comparisons.answer.wording import KIND_TEXT, cells, headline, value_headings, visible

if TYPE_CHECKING:
    from rich.console import Console

    from probes.comparisons.answer.model import Reporter

SHOWN = 20
SHOWN_BAD = 5


@contextmanager
def progress_bar(steps: int) -> "Iterator[Reporter]":
    """A bar on stderr over `steps` steps, gone when done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=steps)
        yield lambda step, what: progress.update(task, completed=step, description=visible(what))


def print_result(result: Result) -> None:
    """Print the summary and the worst differences to stdout."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    _print_sources(console, result)
    _print_notes(console, result)
    _print_counts(console, result)
    _print_differences(console, result)


def _print_sources(console: "Console", result: Result) -> None:
    from rich.table import Table

    table = Table("source", "format", "encoding", box=None, header_style="bold")
    for heading in ("rows", "bad rows", "missing", "duplicate"):
        table.add_column(heading, justify="right")
    for s in result.sources:
        counts = (s.rows, s.bad_rows, result.missing[s.name], s.duplicate_keys)
        table.add_row(visible(s.name), s.format, s.encoding, *(f"{n:,}" for n in counts))
    console.print(table)


def _print_notes(console: "Console", result: Result) -> None:
    for source in result.sources:
        for note in source.notes:
            console.print(f"  {visible(source.name)}: {visible(note)}", soft_wrap=True)
        for row in source.bad_samples[:SHOWN_BAD]:
            where = "line unknown" if row.line is None else f"line {row.line}"
            console.print(f"  {visible(source.name)} {where}: {visible(row.reason)}", style="yellow", soft_wrap=True)
        if source.bad_rows > SHOWN_BAD:
            console.print(f"  {visible(source.name)}: {source.bad_rows - SHOWN_BAD:,} more bad rows", style="yellow")


def _print_counts(console: "Console", result: Result) -> None:
    console.print()
    console.print(headline(result), style="bold green" if result.agrees else "bold red")
    for kind, count in result.kinds.items():
        if count:
            console.print(f"  {kind.value:<10}{count:>12,}  {KIND_TEXT[kind]}")
    console.print(f"  {'agree':<10}{result.agree:>12,}  within ±{result.tolerance:f}, in {result.seconds:.1f} s")


def _print_differences(console: "Console", result: Result) -> None:
    if not result.differences:
        return
    from rich.table import Table

    table = Table(*(visible(key) for key in result.keys), box=None, header_style="bold")
    for heading in value_headings(result):
        table.add_column(visible(heading), justify="right")
    table.add_column("kind")
    for difference in result.differences[:SHOWN]:
        values = [cell for side in difference.values for cell in cells(side, len(result.values))]
        table.add_row(*map(visible, difference.key), *values, difference.kind.value)
    console.print("\nThe worst differences:")
    console.print(table)
    if (rest := result.differ - len(table.rows)) > 0:
        console.print(f"  and {rest:,} more (--html or --json with --limit lists them)")
