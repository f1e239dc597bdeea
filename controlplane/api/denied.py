"""Refused deeds leave a line in the action log: who was refused what. Bounded, see `access.denials`."""

from __future__ import annotations

from flask import Flask, Response, g, request

from controlplane.access import refused
from controlplane.api.answers import plane


def install(app: Flask) -> None:
    """Look at every answer."""
    app.after_request(_note)


def _note(answer: Response) -> Response:
    actor = g.get("actor")
    if answer.status_code == 403 and actor is not None:
        document = answer.get_json(silent=True) if answer.mimetype == "application/problem+json" else None
        reason = str((document or {}).get("detail", ""))[:500]
        subject = f"route/{request.method} {request.url_rule or request.path}"[:200]
        refused(plane().store, plane().clock, actor=actor.name, action="access.refuse", subject=subject, reason=reason)
    return answer
