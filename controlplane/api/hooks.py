"""Where systems call us. Verified on the raw bytes, committed, and only then acknowledged."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import plane
from controlplane.api.problems import RETRY_AFTER, problem
from controlplane.connectors.contract import Inbound, SignatureError, UnsupportedError
from controlplane.errors import BadInputError, NotFoundError, OverloadedError, TrueupError

log = structlog.get_logger()
hooks = Blueprint("hooks", __name__)


@hooks.post("/hooks/<system>")
def take(system: str) -> Response:
    """Take a webhook in. 200 only after the commit; 401 for a bad signature; 404 for a system that does not call us.

    503 with Retry-After: there is no room, or something is wrong inside, which is logged and told to nobody who is not known.
    """
    inbound = Inbound({name.lower(): value for name, value in request.headers.items()}, request.get_data())
    try:
        new = plane().sync.take_webhook(system, inbound)
    except SignatureError as error:
        return problem(401, str(error), "urn:trueup:signature")
    except UnsupportedError as error:
        return problem(404, str(error), "urn:trueup:notfound")
    except (NotFoundError, BadInputError, OverloadedError):
        raise
    except TrueupError as error:
        log.warning("a webhook could not be taken", system=system, error=str(error))
        detail = (
            f"webhooks of '{system}' cannot be taken now; nothing was, so send it again; why stands in the plane's log"
        )
        return problem(503, detail, "urn:trueup:unavailable", Retry_After=RETRY_AFTER)
    return jsonify(accepted=True, new=new)
