"""Tables, transactions, migrations. Law: every hand-over between rooms is a row committed here; no room keeps its own truth."""

from controlplane.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
