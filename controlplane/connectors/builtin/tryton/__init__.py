"""Tryton, JSON-RPC. Tested against a real Tryton 8.2."""
