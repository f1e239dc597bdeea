"""Folders that files are handed over in: of this machine, or at an SFTP server whose key is known; in a bucket (`buckets`) they are read.

A file appears under its name whole or not at all: it is written aside first, and renamed. Names are those of files directly in a folder.
A link is no file: whoever may put files into a folder could have one lead to what only the plane may read, or write.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import unquote, urlsplit

from controlplane.connectors.contract import Context, Flaw
from controlplane.errors import SettingsError, UnavailableError, UnreadableError

ASIDE = (".part", ".tmp", ".filepart")
"""Endings of names of files that are being written."""
SFTP_PORT = 22
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a folder."""

    name: str
    size: int
    changed: int
    """Seconds since 1970, by the clock of whoever keeps the folder."""


class Folders(ABC):
    """A place with folders. Paths are relative to it and have the form FOLDER/NAME. All methods raise UnavailableError."""

    @abstractmethod
    def entries(self, folder: str) -> list[Entry]:
        """Return the complete files of a folder by name. A folder that is not there is not empty: UnavailableError."""

    @abstractmethod
    def read(self, path: str, limit: int) -> bytes:
        """Return a file of at most `limit` bytes. Raises UnreadableError for a larger one."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Say whether a file is there."""

    @abstractmethod
    def aside(self, path: str, content: bytes) -> None:
        """Write a file whole under the name aside that `aside_of` gives, over what was left there."""

    @abstractmethod
    def rename(self, path: str, to: str) -> None:
        """Give a file its name, at once. Where the name is taken, the rename fails."""

    def close(self) -> None:  # noqa: B027  # a folder of this machine holds nothing
        """Let go of connections."""


def aside_of(path: str) -> str:
    """Return the name under which a file is written before it gets its own."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}{ASIDE[0]}" if folder else f".{name}{ASIDE[0]}"


def is_whole(name: str) -> bool:
    """Say whether a name is that of a complete file directly in a folder."""
    return not name.startswith(".") and not name.endswith(ASIDE) and "/" not in name


def opened(path: Path) -> IO[bytes]:
    """Open a file of this machine for reading. Raises OSError, for a link too."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


class LocalFolders(Folders):
    """Folders of this machine, or mounted on it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entries(self, folder: str) -> list[Entry]:
        """Return the complete files of a folder."""
        with self._told(folder):
            found = [(path.name, path.lstat()) for path in (self._root / folder).iterdir() if is_whole(path.name)]
        return sorted(
            (Entry(name, at.st_size, int(at.st_mtime)) for name, at in found if stat.S_ISREG(at.st_mode)),
            key=lambda entry: entry.name,
        )

    def read(self, path: str, limit: int) -> bytes:
        """Return a file."""
        with self._told(path), opened(self._root / path) as file:
            return _bounded(file.read(limit + 1), path, limit)

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        with self._told(path):
            return (self._root / path).is_file() and not (self._root / path).is_symlink()

    def aside(self, path: str, content: bytes) -> None:
        """Write a file aside, and have it on the disk."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with self._told(path), os.fdopen(os.open(self._root / aside_of(path), flags, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, path: str, to: str) -> None:
        """Rename, and have that on the disk."""
        with self._told(path):
            if (self._root / to).exists():
                raise FileExistsError(17, f"the name {to} is taken")
            (self._root / path).replace(self._root / to)
            for folder in {(self._root / to).parent, (self._root / path).parent}:
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            told = f"{self._root / path}: {error.strerror or error}; create or mount the folder, and let us read and write it"
            raise UnavailableError(told) from error


class SftpFolders(Folders):
    """Folders at an SFTP server. One connection for all threads, opened when needed; a broken one is opened anew at the next call."""

    def __init__(self, context: Context, host_key: str) -> None:
        """`host_key`: the server's public key, TYPE BASE64, as `ssh-keyscan` prints it behind the host's name."""
        parts = urlsplit(context.endpoint)
        self._context, self._lock = context, threading.RLock()
        self._host, self._port = str(parts.hostname), parts.port or SFTP_PORT
        self._root = unquote(parts.path) or "."
        self._key_type, _, key = host_key.strip().partition(" ")
        self._key = base64.b64decode(key.split(" ")[0])
        self._wall = max(context.timeout * context.clock.pace, 0.001)
        self._transport: Any = None
        self._sftp: Any = None

    def entries(self, folder: str) -> list[Entry]:
        """Return the complete files of a folder."""
        found = self._ask(folder, lambda sftp: sftp.listdir_attr(self._path(folder)))
        files = (one for one in found if is_whole(one.filename) and stat.S_ISREG(one.st_mode or 0))
        return sorted((Entry(one.filename, one.st_size or 0, one.st_mtime or 0) for one in files), key=lambda e: e.name)

    def read(self, path: str, limit: int) -> bytes:
        """Return a file."""

        def fetch(sftp: Any) -> bytes:
            with sftp.open(self._path(path), "rb") as file:
                file.prefetch(min(file.stat().st_size or 0, limit + 1))
                found: bytes = file.read(limit + 1)
                return found

        return _bounded(self._ask(path, fetch), path, limit)

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""

        def look(sftp: Any) -> bool:
            try:
                sftp.stat(self._path(path))
            except FileNotFoundError:
                return False
            return True

        return self._ask(path, look)

    def aside(self, path: str, content: bytes) -> None:
        """Write a file aside, and see that the server has got all of it."""

        def put(sftp: Any) -> None:
            with sftp.open(self._path(aside_of(path)), "wb") as file:
                file.write(content)
            if sftp.stat(self._path(aside_of(path))).st_size != len(content):
                raise UnavailableError(f"{path}: the server has not got all of it; it is written anew")

        self._ask(path, put)

    def rename(self, path: str, to: str) -> None:
        """Rename; the protocol's own rename fails where the name is taken."""
        self._ask(path, lambda sftp: sftp.rename(self._path(path), self._path(to)))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            for one in (self._sftp, self._transport):
                with suppress(Exception):
                    one.close()
            self._sftp = self._transport = None

    def _path(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}" if self._root != "." else path

    def _ask(self, path: str, do: Callable[[Any], Answer]) -> Answer:
        import paramiko

        with self._lock:
            try:
                self._context.meter()
                return do(self._open())
            except FileNotFoundError as error:
                raise UnavailableError(f"{self._told(path)}: it is not there; have the folder made") from error
            except PermissionError as error:
                raise UnavailableError(f"{self._told(path)}: we may not; have the rights corrected") from error
            except (OSError, EOFError, paramiko.SSHException) as error:
                self.close()
                told = self._context.hidden.text(" ".join(str(error).split()) or type(error).__name__)
                raise UnavailableError(f"{self._told(path)}: {told}") from error

    def _told(self, path: str) -> str:
        return f"{self._context.system}: sftp://{self._host}:{self._port}, {path}"

    def _open(self) -> Any:
        if self._sftp is not None and self._transport.is_active():
            return self._sftp
        self.close()
        import paramiko

        self._transport = paramiko.Transport(self._context.door.connect(self._host, self._port, self._wall))
        self._transport.get_security_options().key_types = self._key_types(paramiko)
        self._transport.start_client(timeout=self._wall)
        self._check(self._transport.get_remote_server_key())
        self._login(paramiko)
        self._sftp = paramiko.SFTPClient.from_transport(self._transport)
        self._sftp.get_channel().settimeout(self._wall)
        return self._sftp

    def _key_types(self, paramiko: Any) -> tuple[str, ...]:
        """Have the server prove itself by the kind of key that we know of it."""
        known = tuple(self._transport.get_security_options().key_types)
        wanted = ("rsa-sha2-512", "rsa-sha2-256") if self._key_type == "ssh-rsa" else (self._key_type,)
        chosen = tuple(one for one in known if one in wanted)
        if not chosen:
            raise SettingsError(
                f"System '{self._context.system}': a host key of type '{self._key_type}' is not supported"
            )
        return chosen

    def _check(self, key: Any) -> None:
        if not hmac.compare_digest(key.asbytes(), self._key):
            self.close()
            raise UnavailableError(
                f"{self._told('')} shows another key than options.host_key; nothing was sent: see whether the server was "
                "changed, and by whom, before the policy is"
            )

    def _login(self, paramiko: Any) -> None:
        user, given = self._context.secret("user"), self._context.given
        try:
            if "private_key" in given:
                self._transport.auth_publickey(user, private_key(paramiko, self._context.secret("private_key")))
            else:
                self._transport.auth_password(user, self._context.secret("password"))
        except paramiko.AuthenticationException as error:
            self.close()
            self._context.refused()
            raise UnavailableError(
                f"{self._told('')} does not let us in; check the secrets of the System policy"
            ) from error


def private_key(paramiko: Any, text: str) -> Any:
    """Return a private key of any kind. Raises SettingsError without showing anything of it."""
    import io

    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text))
    raise SettingsError("the secret 'private_key' is no key of the kinds Ed25519, ECDSA, RSA without a passphrase")


def _bounded(content: bytes, path: str, limit: int) -> bytes:
    if len(content) > limit:
        raise UnreadableError(f"{path} has more than {limit} bytes, and no more are read; have it split")
    return content


def host_key_flaws(endpoint: str, options: Mapping[str, Any]) -> Iterator[Flaw]:
    """Find whether a System at an SFTP server says by what key the server is known."""
    key = str(options.get("host_key", "")).strip()
    if endpoint.startswith("sftp://") and not re.fullmatch(r"[a-z0-9-]+ [A-Za-z0-9+/=]{40,}( .*)?", key):
        rule = "the server's key is not stated, so anybody could stand in its place"
        remedy = "add 'host_key: TYPE BASE64' as ssh-keyscan prints it, compared with what the server's keeper says"
        yield ("options",), rule, remedy
