"""Errors as the vendor writes them."""

from flask import Response, jsonify


def refused(status: int, code: str, message: str) -> tuple[Response, int]:
    """Return an error as the vendor writes one."""
    return jsonify(errors=[{"code": code, "message": message, "details": ""}]), status
