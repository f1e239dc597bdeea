"""Which folders an endpoint names."""

from __future__ import annotations

from pathlib import Path

from controlplane.connectors.buckets import Bucket
from controlplane.connectors.contract import Context
from controlplane.connectors.folders import Folders, LocalFolders, SftpFolders
from controlplane.errors import RejectedError, SettingsError


def folders_of(context: Context) -> Folders:
    """Return the folders that an endpoint names: a path, sftp://HOST[:PORT]/PATH, s3://BUCKET/PREFIX. Raises SettingsError."""
    scheme = context.endpoint.partition("://")[0]
    if scheme not in ("sftp", "s3"):
        return LocalFolders(Path(context.endpoint.removeprefix("file://") or "/"))
    if context.blocked:
        raise RejectedError(context.blocked)
    if scheme == "s3":
        return Bucket(context)
    try:
        import paramiko  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"System '{context.system}': {error}; install the extra: pip install 'trueup[files]'"
        ) from error
    try:
        return SftpFolders(context, str(context.options.get("host_key", "")))
    except ValueError as error:
        raise SettingsError(f"System '{context.system}': options.host_key is no public key: {error}") from error
