"""A certificate authority of a test, and servers that it vouches for."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


class Authority:
    """Makes its certificate in a folder, with openssl; `certificate` is its file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        about = ["-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE"]
        self._make(self._key, self.certificate, *about, "-addext", "keyUsage=critical,keyCertSign")

    def server(self, name: str) -> ssl.SSLContext:
        """Return what a server speaks TLS with whom this authority vouches for; `name` as a certificate has it: IP:127.0.0.1, DNS:…"""
        key, certificate = self._folder / f"{self._name}-server.key", self._folder / f"{self._name}-server.pem"
        by = ["-CA", str(self.certificate), "-CAkey", str(self._key)]
        about = ["-subj", "/CN=server", "-addext", f"subjectAltName={name}", "-addext", "basicConstraints=CA:FALSE"]
        self._make(key, certificate, *by, *about)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    @staticmethod
    def _make(key: Path, certificate: Path, *about: str) -> None:
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*made, *files, *about], check=True, capture_output=True)
