"""The action log: who did what, in one gapless chain of hashes. Law: it is only ever appended to, in the transaction that did the deed."""

from controlplane.audit.chain import Told, record, record_all, verify

__all__ = ["Told", "record", "record_all", "verify"]
