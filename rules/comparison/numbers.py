"""How a number written in a file is read: exactly, or not at all.

`1.234` is one and a bit in one country and a thousand in another. A file's other values usually prove which is meant
(`1.234,56`, `0,5`); where nothing proves it, the value is refused and never guessed.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

INTEGER_DIGITS = 19
DECIMAL_PLACES = 18

_NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<body>[0-9.,' \u00a0\u202f]+)(?:[eE](?P<exp>[+-]?[0-9]{1,2}))?(?P<tail>-?)")
_AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_GROUPED = re.compile(r"[0-9]{1,3}(?P<sep>[.,' \u00a0\u202f])[0-9]{3}(?:(?P=sep)[0-9]{3})*")
_DIGITS = re.compile(r"[0-9]*")


class NumberError(ValueError):
    """The text is no number that can be read exactly; the message says why and what to do."""


class Mark(StrEnum):
    """The decimal mark of a file; UNKNOWN reads only what proves itself."""

    DOT = "."
    COMMA = ","
    UNKNOWN = "?"


class Evidence(StrEnum):
    """What the spelling of one value says about the decimal mark of its file."""

    NONE = "none"
    DOT = "dot"
    COMMA = "comma"
    MAYBE_DOT = "maybe dot"
    MAYBE_COMMA = "maybe comma"


def evidence(text: str) -> Evidence:
    """What this spelling proves: `1,5` a comma, `1,234.5` a dot, `1,234` nothing but that a comma may be meant."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return Evidence.NONE
    body = match["body"]
    if _is_ambiguous(match):
        return Evidence.MAYBE_DOT if "." in body else Evidence.MAYBE_COMMA
    try:
        parse_number(text, Mark.UNKNOWN)
    except NumberError:
        return Evidence.NONE
    return {".": Evidence.DOT, ",": Evidence.COMMA, "": Evidence.NONE}[_proven_point(body)]


def decide_mark(seen: Iterable[Evidence], *, semicolon_separated: bool) -> Mark:
    """The decimal mark of a file from all its spellings.

    A lone `1.234` is a decimal by default, but not in a semicolon-separated file: those come from where the comma is
    the decimal mark. Contradicting proofs leave the mark unknown.
    """
    found = set(seen)
    if Evidence.DOT in found or Evidence.COMMA in found:
        if {Evidence.DOT, Evidence.COMMA} <= found:
            return Mark.UNKNOWN
        return Mark.DOT if Evidence.DOT in found else Mark.COMMA
    if Evidence.MAYBE_COMMA in found or (Evidence.MAYBE_DOT in found and semicolon_separated):
        return Mark.UNKNOWN
    return Mark.DOT


def parse_number(text: str, mark: Mark) -> Decimal:
    """Read `text` exactly: sign before or after, thousands groups, `1e3`; `-0` is 0.

    Raises NumberError when it is blank, no number, ambiguous under `mark`, or does not fit 19 digits before and 18
    after the decimal mark.
    """
    bare = text.strip()
    if not bare:
        raise NumberError("blank; a blank is never 0")
    match = _NUMBER.fullmatch(bare)
    if match is None or (match["sign"] and match["tail"]):
        raise NumberError("not a number")
    point = _point(match, mark)
    whole, _, fraction = match["body"].partition(point) if point else (match["body"], "", "")
    digits = _ungrouped(whole, point)
    if not _DIGITS.fullmatch(fraction) or not digits + fraction:
        raise NumberError("not a number")
    sign = "-" if "-" in (match["sign"], match["tail"]) else ""
    return _fitted(Decimal(f"{sign}{digits or 0}.{fraction or 0}E{match['exp'] or 0}"))


def canonical(value: Decimal) -> str:
    """Shortest plain text of an exact value: no exponent, no trailing zeros, no negative zero."""
    if value == 0:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _proven_point(body: str) -> str:
    """The decimal mark that this body proves, or empty when it has no separator at all."""
    dots, commas = body.count("."), body.count(",")
    if dots and commas:
        return "." if body.rfind(".") > body.rfind(",") else ","
    if dots > 1 or commas > 1:
        return "," if dots else "."
    return "." if dots else "," if commas else ""


def _is_ambiguous(match: re.Match[str]) -> bool:
    """Whether a lone separator may group thousands; before an exponent nobody groups."""
    return match["exp"] is None and _AMBIGUOUS.fullmatch(match["body"]) is not None


def _point(match: re.Match[str], mark: Mark) -> str:
    if _is_ambiguous(match):
        if mark is Mark.UNKNOWN:
            raise NumberError("ambiguous: thousands or decimals? say --decimal NAME=, or --decimal NAME=.")
        return mark.value
    point = _proven_point(match["body"])
    if point and mark is not Mark.UNKNOWN and point != mark.value:
        raise NumberError(f"written with the decimal mark {point!r} where {mark.value!r} is in force")
    return point


def _ungrouped(whole: str, point: str) -> str:
    """The digits of the part before the decimal mark, its thousands groups checked and taken out."""
    if _DIGITS.fullmatch(whole):
        return whole
    match = _GROUPED.fullmatch(whole)
    if match is None or match["sep"] == point:
        raise NumberError("not a number: its thousands groups are uneven")
    return whole.replace(match["sep"], "")


def _fitted(value: Decimal) -> Decimal:
    plain = Decimal(canonical(value))
    exponent = plain.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > DECIMAL_PLACES:
        raise NumberError(f"more than {DECIMAL_PLACES} decimal places; rounding it would lose digits")
    if plain.adjusted() >= INTEGER_DIGITS:
        raise NumberError(f"more than {INTEGER_DIGITS} digits before the decimal mark")
    return plain
