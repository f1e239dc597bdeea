"""Canonical messages, append-only: the one account of what happened. Law: a message is never changed, only followed by another."""

from controlplane.sync.ledger.accept import RETRY_AFTER, Acceptor, Receipt
from controlplane.sync.ledger.messages import Message, append
from controlplane.sync.ledger.translate import preview, translate_some

__all__ = ["RETRY_AFTER", "Acceptor", "Message", "Receipt", "append", "preview", "translate_some"]
