"""What is asked for: the sides with their names, the columns, the tolerance. Checked before a file is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from probes.comparisons.answer.problems import CouldNotCompare, FileProblem
from rules.comparison.numbers import DECIMAL_PLACES, Mark

_SUFFIXES = (".gz", ".csv", ".tsv", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True)
class Side:
    """One file to be read. `columns` maps a canonical column to its name in this file; `mark` None means detect."""

    index: int
    name: str
    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """The whole request; `keys` and `values` are canonical column names, `tolerance` absolute and inclusive.

    `target`: the file that every difference is written to, Parquet or CSV by its suffix; None for none.
    """

    sides: tuple[Side, ...]
    keys: tuple[str, ...]
    values: tuple[str, ...]
    tolerance: Decimal
    limit: int
    target: Path | None = None

    def wanted(self, side: Side) -> tuple[str, ...]:
        """The columns to look for in this side's file: keys, then values."""
        return tuple(side.columns.get(column, column) for column in (*self.keys, *self.values))


def build_request(
    paths: Sequence[str | Path],
    keys: Sequence[str],
    values: Sequence[str],
    *,
    tolerance: Decimal | str = Decimal(0),
    names: Sequence[str] = (),
    maps: Sequence[str] = (),
    decimals: Sequence[str] = (),
    limit: int = 100,
    target: Path | None = None,
) -> Request:
    """Check the request and give it its shape; raises CouldNotCompare when it makes no sense."""
    try:
        files = [Path(path) for path in paths]
        if len(files) < 2:
            raise FileProblem(f"two files or more are needed to compare, got {len(files)}")
        if limit < 0:
            raise FileProblem(f"--limit {limit}: must be 0 or more")
        _check_columns(keys, values)
        labels = _names(files, names)
        renamed = _columns(maps, files, labels, {*keys, *values})
        marks = _marks(decimals, files, labels)
        sides = (
            Side(i, n, p, renamed.get(i, {}), marks.get(i)) for i, (n, p) in enumerate(zip(labels, files, strict=True))
        )
        return Request(tuple(sides), tuple(keys), tuple(values), _tolerance(tolerance), limit, _target(target, files))
    except FileProblem as problem:
        raise CouldNotCompare([str(problem)]) from problem


def split_columns(text: str) -> list[str]:
    """`sku, location` as given on the command line, as a list of names."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _check_columns(keys: Sequence[str], values: Sequence[str]) -> None:
    for option, columns in (("--key", keys), ("--value", values)):
        if not columns:
            raise FileProblem(f"{option} names no column: give one or more, separated by commas")
    every = [*keys, *values]
    twice = sorted({column for column in every if every.count(column) > 1})
    if twice:
        raise FileProblem(f"column {twice[0]!r} is named twice in --key and --value: name each column once")


def _names(files: Sequence[Path], names: Sequence[str]) -> list[str]:
    if names and len(names) != len(files):
        raise FileProblem(
            f"--name is given {len(names)} times for {len(files)} files: give one per file, in their order"
        )
    if len(set(names)) != len(names) or any(not name.strip() for name in names):
        raise FileProblem("--name must differ for every file and not be blank")
    return list(names) or _distinct([_stem(path) for path in files])


def label_of(path: str | Path) -> str:
    """Return what a file is called when nobody says so: its name without its suffixes."""
    return _stem(Path(path))


def _stem(path: Path) -> str:
    name = path.name
    while (suffix := Path(name).suffix.lower()) in _SUFFIXES and suffix:
        name = name[: -len(suffix)]
    return name or path.name


def _distinct(stems: Sequence[str]) -> list[str]:
    """`erp, erp` becomes `erp, erp-2`; a name that is already taken is never given twice."""
    given: list[str] = []
    for stem in stems:
        name, number = stem, 1
        while name in given or (number > 1 and name in stems):
            number += 1
            name = f"{stem}-{number}"
        given.append(name)
    return given


def _side_index(label: str, option: str, files: Sequence[Path], names: Sequence[str]) -> int:
    """The side that an option means: by name, by path as given, or by file name, if that is one side only."""
    for candidates in (list(names), [str(f) for f in files], [f.name for f in files]):
        if candidates.count(label) == 1:
            return candidates.index(label)
    raise FileProblem(f"{option}: no single file is called {label!r}; the sides are {', '.join(names)}")


def _columns(
    maps: Sequence[str], files: Sequence[Path], names: Sequence[str], known: set[str]
) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for text in maps:
        left, _, actual = text.partition("=")
        label, _, column = left.rpartition(":")
        if not (label and column.strip() and actual.strip()):
            raise FileProblem(f"--map {text!r}: write it FILE:COLUMN=NAME IN THE FILE, e.g. shop.csv:sku=variant_sku")
        if column.strip() not in known:
            raise FileProblem(f"--map {text!r}: {column.strip()!r} is not in --key or --value")
        index = _side_index(label, f"--map {text!r}", files, names)
        found.setdefault(index, {})[column.strip()] = actual.strip()
    return found


def _marks(decimals: Sequence[str], files: Sequence[Path], names: Sequence[str]) -> dict[int, Mark]:
    found: dict[int, Mark] = {}
    for text in decimals:
        label, _, mark = text.rpartition("=")
        if not label or mark not in (".", ","):
            raise FileProblem(f"--decimal {text!r}: write it FILE=. or FILE=, for example shop=,")
        found[_side_index(label, f"--decimal {text!r}", files, names)] = Mark(mark)
    return found


def _target(target: Path | None, files: Sequence[Path]) -> Path | None:
    if target is None:
        return None
    if target.suffix.lower() not in (".parquet", ".pq", ".csv"):
        raise FileProblem(f"--differences {target}: must end in .parquet or .csv, which says how it is written")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise FileProblem(f"--differences {target}: must be a file in a folder that exists")
    if target.exists() and any(file.exists() and target.samefile(file) for file in files):
        raise FileProblem(f"--differences {target}: is one of the files that are compared; name another file")
    return target


def _tolerance(given: Decimal | str) -> Decimal:
    try:
        value = Decimal(str(given).strip())
    except InvalidOperation as error:
        raise FileProblem(f"--tolerance {given!r}: must be a number such as 1 or 0.5") from error
    if not value.is_finite() or value < 0:
        raise FileProblem(f"--tolerance {given}: must be 0 or more")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMAL_PLACES:
        raise FileProblem(f"--tolerance {given}: at most {DECIMAL_PLACES} decimal places can be held exactly")
    return value
