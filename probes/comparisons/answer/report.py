"""The report for people: one HTML file that needs nothing else, everything in it escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from probes.comparisons.answer.model import Result
from probes.comparisons.answer.wording import KIND_TEXT, cells, headline, value_headings, visible

_SHOWN_BAD = 50


def render(result: Result) -> str:
    """The whole report as HTML text."""
    environment = Environment(
        loader=PackageLoader("probes.comparisons.answer", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    return environment.get_template("report.html.j2").render(
        result=result,
        headline=headline(result),
        bars=_bars(result),
        headings=value_headings(result),
        rows=[_row(result, index) for index in range(len(result.differences))],
        shown_bad=_SHOWN_BAD,
    )


def _bars(result: Result) -> list[dict[str, object]]:
    """The parts of the bar: agreeing and each kind of difference, with their share in percent."""
    whole = result.key_count or 1
    parts = [("agree", "within the tolerance", result.agree)]
    parts += [(kind.value, KIND_TEXT[kind], count) for kind, count in result.kinds.items()]
    return [{"kind": k, "text": t, "count": n, "share": round(100 * n / whole, 4)} for k, t, n in parts if n]


def _row(result: Result, index: int) -> dict[str, object]:
    difference = result.differences[index]
    values = [cell for side in difference.values for cell in cells(side, len(result.values))]
    return {"key": [visible(part) for part in difference.key], "values": values, "kind": difference.kind.value}
