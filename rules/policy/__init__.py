"""The kinds of policy and their lint: what the business has agreed, as documents."""

from rules.policy.kinds import KINDS, Document, format_duration, parse_duration

__all__ = ["KINDS", "Document", "format_duration", "parse_duration"]
