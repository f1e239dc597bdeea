"""Ask the running plane over its API, as the command line does: the embedded store belongs to one process.

client = Client(load_settings())
client.get("retrying", system="erp")                      -> what GET /api/v1/retrying?system=erp answers
client.post("systems/erp/pause", {"reason": "stocktaking"})
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from controlplane.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TrueupError,
    UnavailableError,
)
from controlplane.settings import Settings

TIMEOUT = 30.0
"""Wall seconds that the plane may take to answer; a preview of a large replay takes some."""
TOKEN_FILE = "cli-token"  # noqa: S105 - the name of a file
CLASSES: dict[int, type[TrueupError]] = {
    403: ForbiddenError, 404: NotFoundError, 409: ConflictError, 413: BadInputError, 415: BadInputError,
    422: BadInputError,
}  # fmt: skip
"""Status -> the error that the plane raised; any other means that the plane cannot answer now."""


class Client:
    """The plane of these settings, with the command line's token. Every refusal is raised with the plane's own words."""

    def __init__(self, settings: Settings, otherwise: str = "") -> None:
        """`otherwise`: what else helps when no plane answers, for a command that can do without."""
        self.settings = settings
        self._remedy = (
            f"start one with `trueup up`, or name another by TRUEUP_HOME, TRUEUP_HOST and TRUEUP_PORT{otherwise}"
        )

    def get(self, resource: str, **query: Any) -> Any:
        """Return what `GET /api/v1/<resource>` answers; parameters that are None are left out.

        Raises UnavailableError when no plane runs here, ForbiddenError when it does not take our token, else the error
        of the plane's own: NotFoundError, BadInputError ...
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", resource, params=given or None)

    def post(self, resource: str, body: dict[str, Any] | None = None) -> Any:
        """Return what `POST /api/v1/<resource>` answers. Raises like `get`, and ConflictError."""
        return self._ask("POST", resource, json=body or {})

    def _ask(self, method: str, resource: str, **given: Any) -> Any:
        url = f"{self.settings.url}/api/v1/{resource}"
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            answer = httpx.request(method, url, headers=headers, timeout=TIMEOUT, trust_env=False, **given)
        except httpx.HTTPError as error:
            why = f"no plane answers at {self.settings.url} ({type(error).__name__})"
            raise UnavailableError(f"{why}; {self._remedy}") from None
        if answer.is_success:
            return _json(answer)
        raise self._refusal(answer)

    def _token(self) -> str:
        path = self.settings.home / TOKEN_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            why = f"no plane has run in {self.settings.home} ({path.name} is missing)"
            raise UnavailableError(f"{why}; {self._remedy}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ForbiddenError(f"{path} cannot be read ({error}); become the user that the plane runs as") from None

    def _refusal(self, answer: httpx.Response) -> TrueupError:
        try:
            detail = str(answer.json().get("detail", ""))
        except (ValueError, AttributeError):
            detail = ""
        url = self.settings.url
        if answer.status_code == 401:
            path = self.settings.home / TOKEN_FILE
            return ForbiddenError(f"the plane at {url} does not take the token in {path}; start the plane anew")
        known = CLASSES.get(answer.status_code)
        if known is None:
            return UnavailableError(
                f"the plane at {url} answered {answer.status_code}: {detail or 'no reason given'}; see its plane.log"
            )
        return known(detail or f"the plane at {url} answered {answer.status_code} to {answer.url.path}")


def part(name: str) -> str:
    """Return a name as a part of a resource's path, whatever characters it has."""
    return quote(name, safe="")


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise UnavailableError(
            f"what answers at {answer.url} is not a plane; look at TRUEUP_HOST and TRUEUP_PORT"
        ) from None
