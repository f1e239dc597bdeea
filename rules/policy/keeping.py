"""What has to make sense in how long things are kept, and in the address of an archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from rules.policy import kinds as k
from rules.policy.kinds import format_duration
from rules.policy.problems import Path

SHORTEST, LONGEST = timedelta(days=1), timedelta(days=36500)
LOCAL = frozenset({"", "file", "local"})
FLEETING = frozenset({"memory"})
READ_ONLY = frozenset({"data", "git", "github", "gist", "hf", "http", "https", "libarchive", "reference", "tar", "zip"})
"""Protocols of fsspec that a plane cannot keep files by."""

BUCKETS = frozenset({"abfs", "abfss", "az", "gcs", "gs", "oci", "s3", "s3a"})
"""Protocols whose address names a bucket and no host: where that is, only the plane's own environment says."""


def protocol_of(address: str) -> str:
    """Return the fsspec protocol of an address, in small letters; empty for a plain path."""
    return address.partition("://")[0].lower() if "://" in address else ""


def retention_flaws(spec: k.RetentionSpec) -> Iterator[tuple[Path, str, str]]:
    """Yield path, rule and remedy of what makes no sense in a domain's retention."""
    for name in ("raw", "attempts", "messages"):
        kept: timedelta = getattr(spec, name)
        if not SHORTEST <= kept <= LONGEST:
            rule = f"{format_duration(kept)} is shorter than a day, which leaves no time to look into a bad night"
            if kept > LONGEST:
                rule = f"{format_duration(kept)} is longer than a hundred years"
            yield ("spec", "retention", name), rule, "write 1d to 36500d"
    for name, what in (("raw", "records as they came"), ("attempts", "attempts")):
        if getattr(spec, name) > spec.messages:
            kept_for, longest = format_duration(getattr(spec, name)), format_duration(spec.messages)
            rule = f"{what} would be kept for {kept_for}, longer than the messages that they belong to ({longest})"
            yield ("spec", "retention", name), rule, f"write at most {longest}, or keep messages longer"
    if spec.archive:
        for rule, remedy in _address(spec.archive):
            yield ("spec", "retention", "archive"), rule, remedy


def _address(address: str) -> Iterator[tuple[str, str]]:
    protocol, example = protocol_of(address), "write for instance file:///var/archive or s3://bucket/ledger"
    rest = address.partition("://")[2] if protocol else address
    if "::" in address:
        yield "a chain of protocols is no place to keep things", example
    elif protocol in FLEETING:
        yield f"what is written to {protocol}:// is gone with the process", example
    elif protocol in READ_ONLY:
        yield f"nothing can be written by {protocol}://", example
    elif protocol in LOCAL and not rest.startswith("/"):
        yield f"the folder '{rest}' is not absolute, so where it lies depends on where the plane was started", example
    elif not rest.strip("/"):
        yield f"'{address}' names no folder", example
    elif ".." in rest.split("/"):
        yield "the folder climbs up by '..'", "write the folder itself"
    elif _password(address):  # not shown: this is the secret
        yield (
            "the address holds a password, and policies are read by many",
            "take it out; fsspec and the vendors' libraries read it from the plane's environment",
        )
    elif protocol not in LOCAL | BUCKETS and not rest.startswith("/"):
        yield (
            f"an address of {protocol}:// names a host here, and nothing holds its connections to public addresses",
            f"write to a bucket, or mount the folder where the plane runs; {example}",
        )


def _password(address: str) -> bool:
    try:
        return urlsplit(address).password is not None
    except ValueError:
        return False
