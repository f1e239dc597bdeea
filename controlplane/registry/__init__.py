"""What was promised: versioned policies and the only way to change them. Law: readers hold an immutable snapshot by version; every
change is an approved change request, and what governed at any instant can be told for ever."""

from controlplane.registry.registry import Registry, Snapshot

__all__ = ["Registry", "Snapshot"]
