"""Where systems call us. Verified on the raw bytes, committed, and only then acknowledged."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from controlplane.api.answers import plane
from controlplane.api.problems import problem
from controlplane.connectors.contract import Inbound, SignatureError, UnsupportedError

hooks = Blueprint("hooks", __name__)


@hooks.post("/hooks/<system>")
def take(system: str) -> Response:
    """Take a webhook in. 200 only after the commit; 401 for a bad signature; 404 for a system that does not call us.

    503 with Retry-After: there is no room, nothing was taken.
    """
    inbound = Inbound({name.lower(): value for name, value in request.headers.items()}, request.get_data())
    try:
        new = plane().sync.take_webhook(system, inbound)
    except SignatureError as error:
        return problem(401, str(error), "urn:trueup:signature")
    except UnsupportedError as error:
        return problem(404, str(error), "urn:trueup:notfound")
    return jsonify(accepted=True, new=new)
