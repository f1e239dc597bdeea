"""Where systems call us. Verified on the raw bytes, committed, and only then acknowledged."""

from __future__ import annotations

import structlog
from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import plane
from controlplane.api.problems import RETRY_AFTER, problem
from controlplane.connectors.contract import Inbound, SignatureError, UnsupportedError
from controlplane.errors import BadInputError, NotFoundError, OverloadedError, SecretNotGivenError, TrueupError

log = structlog.get_logger()
hooks = Blueprint("hooks", __name__)
STRANGER = "this is no webhook that was signed for the system of this address; why stands in the plane's log"
"""Told alike of a signature that does not fit, of a system that is not set up to call us, and of a name that no system has."""


@hooks.post("/hooks/<system>")
def take(system: str) -> Response:
    """Take a webhook in. 200 only after the commit; 401 for whatever is not signed, whether there is such a system or not.

    503 with Retry-After: there is no room, or something is wrong inside, which is logged and told to nobody who is not known.
    """
    inbound = Inbound({name.lower(): value for name, value in request.headers.items()}, request.get_data())
    try:
        new = plane().sync.take_webhook(system, inbound)
    except (SignatureError, UnsupportedError, NotFoundError, SecretNotGivenError) as error:
        log.info("a webhook was refused", system=system, error=str(error))
        return problem(401, STRANGER, "urn:trueup:signature")
    except (BadInputError, OverloadedError):
        raise
    except TrueupError as error:
        log.warning("a webhook could not be taken", system=system, error=str(error))
        detail = (
            "nothing can be taken at this address now, and nothing was, so send it again; why stands in the plane's log"
        )
        return problem(503, detail, "urn:trueup:unavailable", Retry_After=RETRY_AFTER)
    return jsonify(accepted=True, new=new)
