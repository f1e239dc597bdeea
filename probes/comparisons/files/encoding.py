"""From the bytes of a file to a plain UTF-8 text file, saying what it was; streaming, nothing is held whole."""

import codecs
import gzip
import zlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from probes.comparisons.answer.problems import FileProblem

CHUNK = 1 << 20
# Bytes that windows-1252 leaves undefined: with one of them the text can only be latin-1.
_UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")
_BLANKS = (b" ", b"\t", b"\xa0")
_C1 = frozenset(range(0x80, 0xA0))


@dataclass(frozen=True, slots=True)
class Plain:
    """A UTF-8 text file without BOM; `lines` counts by line feeds; `note` says what was unusual, or is empty.

    `blanks`: a blank may stand somewhere in it that is no line end; False is certain. `lone_returns`: a carriage return may stand
    somewhere without its line feed; False is certain.
    """

    path: Path
    encoding: str
    lines: int
    note: str = ""
    blanks: bool = True
    lone_returns: bool = True


@dataclass(frozen=True, slots=True)
class _Guess:
    codec: str
    label: str
    skip: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a text's lines and blanks while its encoding was guessed; see Plain."""

    lines: int = 0
    blanks: bool = True
    lone_returns: bool = True


def magic(path: Path) -> str:
    """What the first bytes say: `parquet`, `gzip`, `zip` or `text`; raises FileProblem where it cannot be read."""
    if path.is_fifo() or path.is_char_device():
        raise FileProblem("is a pipe, and must be read more than once: save it to a file first")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError as error:
        raise FileProblem("is not there: check the path") from error
    except IsADirectoryError as error:
        raise FileProblem("is a folder: name a file in it") from error
    except OSError as error:
        raise FileProblem(f"cannot be opened: {error.strerror or error}; check its permissions") from error
    kinds = {b"PAR1": "parquet", b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip"}
    return next((kind for mark, kind in kinds.items() if head.startswith(mark)), "text")


def as_utf8(path: Path, kind: str, scratch: Path) -> Plain:
    """The text of `path` as a UTF-8 file: itself where it already is one, else a copy at `scratch`.

    Raises FileProblem for truncated gzip or UTF-16, and for bytes that are no text.
    """
    try:
        guess, seen = _guess(path, kind)
        if kind == "text" and guess.codec == "utf-8" and not guess.skip:
            return Plain(path, guess.label, seen.lines, guess.note, seen.blanks, seen.lone_returns)
        lines = _transcode(path, kind, guess, scratch)
        return Plain(scratch, guess.label, lines, guess.note, seen.blanks, seen.lone_returns)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileProblem(f"is a damaged or truncated gzip file ({error}): export it again") from error
    except UnicodeDecodeError as error:
        raise FileProblem(f"is not valid {error.encoding} ({error.reason}): truncated? export it again") from error
    except OSError as error:
        raise FileProblem(f"cannot be read: {error.strerror or error}") from error


def _open(path: Path, kind: str) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if kind == "gzip" else path.open("rb")


def _chunks(path: Path, kind: str) -> Generator[bytes, None, None]:
    with _open(path, kind) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _guess(path: Path, kind: str) -> tuple[_Guess, _Seen]:
    chunks = _chunks(path, kind)
    head = next(chunks, b"")
    chunks.close()
    wide = _utf16(head)
    if wide:
        return wide, _Seen()
    if b"\0" in head:
        raise FileProblem("holds zero bytes, so it is no text: give CSV, JSON Lines or Parquet")
    return _utf8_or_latin(path, kind, 3 if head.startswith(codecs.BOM_UTF8) else 0)


def _utf16(head: bytes) -> _Guess | None:
    """UTF-16 by its byte order mark, or by zero bytes on one side of nearly every pair."""
    if head.startswith(codecs.BOM_UTF16_LE):
        return _Guess("utf-16-le", "UTF-16", 2)
    if head.startswith(codecs.BOM_UTF16_BE):
        return _Guess("utf-16-be", "UTF-16", 2)
    sample = head[:4096]
    half = len(sample) // 2
    for codec, zeros in (("utf-16-le", sample[1::2].count(0)), ("utf-16-be", sample[::2].count(0))):
        if half and zeros > half * 0.6 and sample.count(0) < half * 1.1:
            return _Guess(codec, "UTF-16", 0, "UTF-16 without a byte order mark")
    return None


def _utf8_or_latin(path: Path, kind: str, bom: int) -> tuple[_Guess, _Seen]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, lone, offset, chunk, blanks = 0, 0, 0, b"\n", False
    try:
        for following in _chunks(path, kind):
            lone -= chunk.endswith(b"\r") and following.startswith(b"\n")
            chunk = following
            if not chunk.isascii() or decoder.getstate()[0]:  # a letter may go on from the chunk before
                decoder.decode(chunk)
            lines += chunk.count(b"\n")
            lone += chunk.count(b"\r") - (chunk.count(b"\r\n") if b"\r" in chunk else 0)
            blanks = blanks or any(blank in chunk for blank in _BLANKS)
            offset += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        where = f"byte 0x{error.object[error.start]:02X} after about {offset + error.start} bytes"
        return _latin(path, kind, where), _Seen()
    seen = _Seen(lines + (not chunk.endswith(b"\n")), blanks or lone > 0, lone > 0)
    return _Guess("utf-8", "UTF-8 with BOM" if bom else "UTF-8", bom), seen


def _latin(path: Path, kind: str, where: str) -> _Guess:
    seen: set[int] = set()
    for chunk in _chunks(path, kind):
        seen.update(chunk)
    if 0 in seen:
        raise FileProblem("holds zero bytes, so it is no text: give CSV, JSON Lines or Parquet")
    windows = bool(seen & _C1) and not seen & _UNDEFINED
    label = "windows-1252" if windows else "latin-1"
    return _Guess("cp1252" if windows else "latin-1", label, 0, f"not UTF-8 ({where}): read as {label}")


def _transcode(path: Path, kind: str, guess: _Guess, target: Path) -> int:
    """Write the text as UTF-8 without BOM and line ends as they are; returns the number of lines."""
    decoder = codecs.getincrementaldecoder(guess.codec)()
    lines, skip, data = 0, guess.skip, b"\n"
    with target.open("wb") as out:
        for chunk in _chunks(path, kind):
            data = decoder.decode(chunk[skip:]).encode()
            skip = 0
            lines += data.count(b"\n")
            out.write(data)
        out.write(decoder.decode(b"", final=True).encode())
    return lines + (not data.endswith(b"\n"))
