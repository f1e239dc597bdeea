"""Canonical messages, append-only: the one account of what happened. Law: a message is never changed, only followed by another."""

from controlplane.sync.ledger.accept import Acceptor, Receipt
from controlplane.sync.ledger.messages import Message, append
from controlplane.sync.ledger.translate import preview, translate_some
from controlplane.sync.ledger.untranslated import Silent

__all__ = ["Acceptor", "Message", "Receipt", "Silent", "append", "preview", "translate_some"]
