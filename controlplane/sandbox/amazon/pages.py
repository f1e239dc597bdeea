"""Pages of a list, each but the first asked for by a token that runs out."""

from secrets import token_hex
from typing import Any

from flask import request

from controlplane.sandbox.amazon.market import Market


def paged(market: Market, rows: list[Any], name: str, size: int = 0) -> tuple[list[Any], str | None] | None:
    """Return the page that the token of the request stands for, and the token of the next; None where the token ran out.

    A token stands for a place: what is put in or taken out before it moves what comes.
    """
    told, at = request.args.get(name), 0
    if told:
        found = market.tokens.get(told)
        if found is None or market.now() - found[0] > market.token_life:
            return None
        at = found[1]
    end = at + min(size or market.page, market.page)
    following = None
    if end < len(rows):
        following = token_hex(12)
        market.tokens[following] = (market.now(), end)
    return rows[at:end], following
