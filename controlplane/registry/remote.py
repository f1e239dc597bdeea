"""Ask the running plane over its API, as the command line does: the embedded store belongs to one process."""

from __future__ import annotations

from typing import Any

import httpx

from controlplane.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TrueupError,
    UnavailableError,
)
from controlplane.settings import Settings, load_settings

TIMEOUT = 10.0
"""Wall seconds that the plane may take to answer."""
TOKEN_FILE = "cli-token"  # noqa: S105 - the name of a file
TOLD: dict[int, type[TrueupError]] = {403: ForbiddenError, 409: ConflictError, 422: BadInputError}
"""Refusals that the plane's own words explain best."""


def ask(resource: str, settings: Settings | None = None) -> Any:
    """Return what `GET /api/v1/<resource>` answers.

    Raises UnavailableError when no plane runs here, ForbiddenError when it does not take our token, NotFoundError with
    the plane's own words.
    """
    return _call("GET", resource, None, settings or load_settings())


def tell(resource: str, body: dict[str, Any], settings: Settings | None = None) -> Any:
    """Return what `POST /api/v1/<resource>` answers. Raises as `ask` does; BadInputError and ConflictError in the plane's own words."""
    return _call("POST", resource, body, settings or load_settings())


def _call(method: str, resource: str, body: dict[str, Any] | None, settings: Settings) -> Any:
    url = f"{settings.url}/api/v1/{resource}"
    headers = {"Authorization": f"Bearer {_token(settings)}"}
    try:
        answer = httpx.request(method, url, headers=headers, json=body, timeout=TIMEOUT, trust_env=False)
    except httpx.HTTPError as error:
        raise UnavailableError(f"no plane answers at {settings.url} ({type(error).__name__}); {_remedy()}") from None
    if answer.is_success:
        return _json(answer)
    raise _refusal(answer, settings)


def _remedy() -> str:
    return (
        "start one with `trueup up`, name another by TRUEUP_HOME, TRUEUP_HOST and TRUEUP_PORT, or read files with --pack "
        "or a path"
    )


def _token(settings: Settings) -> str:
    path = settings.home / TOKEN_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise UnavailableError(f"no plane has run in {settings.home} ({path.name} is missing); {_remedy()}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ForbiddenError(f"{path} cannot be read ({error}); become the user that the plane runs as") from None


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise UnavailableError(
            f"what answers at {answer.url} is not a plane; look at TRUEUP_HOST and TRUEUP_PORT"
        ) from None


def _refusal(answer: httpx.Response, settings: Settings) -> TrueupError:
    try:
        detail = str(answer.json().get("detail", ""))
    except (ValueError, AttributeError):
        detail = ""
    if answer.status_code == 401:
        path = settings.home / TOKEN_FILE
        return ForbiddenError(f"the plane at {settings.url} does not take the token in {path}; start the plane anew")
    if detail and answer.status_code in TOLD:
        return TOLD[answer.status_code](detail)
    if answer.status_code == 404:
        return NotFoundError(detail or f"the plane at {settings.url} has no {answer.url.path}")
    return UnavailableError(f"the plane at {settings.url} answered {answer.status_code}: {detail or 'no reason given'}")
