"""A file that is read on where it broke off, so that an hour's export is not begun anew for one lost connection.

Only where it is surely the same file: the system names its state by a strong ETag and gives ranges of bytes (RFC 9110, 13.1.5, 14).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import httpx

from controlplane.errors import UnavailableError

RESUMED = 3
"""How often a file is read on that breaks off again without a byte more."""
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)", re.ASCII)
Open = Callable[[Mapping[str, str]], tuple[httpx.Response, Iterator[bytes]]]
"""(headers) -> the answer's head, and its content in parts as they come."""


def whole(opened: Open, wait: Callable[[], object]) -> Iterator[bytes]:
    """Yield a file's bytes. Raises UnavailableError where it broke off and cannot be read on, and whatever `opened` raises."""
    got, mark, left = 0, "", RESUMED
    while True:
        with ExitStack() as held:
            try:
                response, coming = opened({"Range": f"bytes={got}-", "If-Range": mark} if got else {})
                held.callback(response.close)
                mark = _same(response, got, mark) if got else _mark(response)
                for part in coming:
                    got, left = got + len(part), RESUMED
                    yield part
                return
            except UnavailableError:
                left -= 1
                if not (got and mark) or left < 0:
                    raise
        wait()


def _mark(response: httpx.Response) -> str:
    """Return what the state of the file is known by; empty where it is not, or where bytes are not those of the file."""
    etag, headers = response.headers.get("etag", ""), response.headers
    ranged = headers.get("accept-ranges", "").lower() == "bytes" and "content-encoding" not in headers
    return etag if ranged and etag.startswith('"') else ""


def _same(response: httpx.Response, got: int, mark: str) -> str:
    found = _RANGE.fullmatch(response.headers.get("content-range", ""))
    # a store that knows ranges and not If-Range gives a part of the file that is there by now
    another = response.headers.get("etag") != mark or "content-encoding" in response.headers
    if response.status_code != 206 or found is None or int(found[1]) != got or another:
        raise UnavailableError(
            f"the file broke off after {got} bytes and is another one by now, or not given from there; it is read anew at the next turn"
        )
    return mark
