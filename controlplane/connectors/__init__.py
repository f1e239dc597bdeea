"""Plugins that speak the systems' protocols. Law: a connector translates and answers; it decides and stores nothing."""

from controlplane.connectors.connections import Connections

__all__ = ["Connections"]
