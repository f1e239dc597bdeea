"""Folders in a bucket: S3's REST, or what speaks as it does, through the shared client, each request signed by AWS's own rules.

A prefix is a folder. An object appears whole or not at all, so nothing is written aside; the store has no rename, so nothing is
handed over here: a bucket is read only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx

from controlplane.connectors.contract import Context, UnsupportedError
from controlplane.connectors.folders import Entry, Folders, is_whole
from controlplane.connectors.http import HttpClient
from controlplane.connectors.markup import Element, markup, texts
from controlplane.connectors.paging import News, Seen
from controlplane.connectors.redaction import Redactor
from controlplane.errors import RejectedError, SettingsError, UnavailableError, UnreadableError

REGION = "us-east-1"


class AwsSignature(httpx.Auth):
    """Signature version 4 for a service of AWS, by botocore."""

    def __init__(self, key_id: str, secret: str, token: str | None, service: str, region: str) -> None:
        try:
            from botocore.auth import S3SigV4Auth, SigV4Auth
            from botocore.credentials import Credentials
        except ImportError as error:
            raise SettingsError(f"{error}; install the extra: pip install 'trueup[files]'") from error
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        self._signer = kind(Credentials(key_id, secret, token), service, region)

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Sign, with the hash of what is sent."""
        from botocore.awsrequest import AWSRequest

        hashed = hashlib.sha256(request.content).hexdigest()
        kept = {name: request.headers[name] for name in ("content-type", "x-amz-target") if name in request.headers}
        asked = AWSRequest(
            request.method, str(request.url), headers={**kept, "X-Amz-Content-SHA256": hashed}, data=request.content
        )
        self._signer.add_auth(asked)
        request.headers.update(dict(asked.headers.items()))
        yield request


class Bucket(Folders):
    """A bucket: endpoint `s3://BUCKET[/PREFIX]`; options `region`, and `s3_endpoint` where it is not AWS's.

    Secrets: key_id, secret_key, and session_token where there is one.
    """

    def __init__(self, context: Context) -> None:
        parts = urlsplit(context.endpoint)
        self._context, self._prefix = context, parts.path.strip("/")
        region, own = (
            str(context.options.get("region", REGION)),
            str(context.options.get("s3_endpoint", "")).rstrip("/"),
        )
        base = f"{own}/{parts.netloc}" if own else f"https://{parts.netloc}.s3.{region}.amazonaws.com"
        secret = context.secret("secret_key")
        token = context.secret("session_token") if "session_token" in context.given else None
        self._http = HttpClient(replace(context, endpoint=base), Redactor([secret, token or ""]))
        self._auth = AwsSignature(context.secret("key_id"), secret, token, "s3", region)

    def entries(self, folder: str) -> list[Entry]:
        """Return the objects directly below the folder; a prefix that nothing is below is an empty folder: S3 has no others."""
        prefix = self._key(folder) + "/" if self._key(folder) else ""
        found = [entry for page in self._pages(prefix) for entry in _entries(page, prefix)]
        return sorted((one for one in found if is_whole(one.name)), key=lambda one: one.name)

    def read(self, path: str, limit: int) -> bytes:
        """Return an object. The shared client takes no more than it takes of any answer."""
        content: bytes = self._ask(f"/{quote(self._key(path))}", path).content
        if len(content) > limit:
            raise UnreadableError(f"{path} has {len(content)} bytes, and {limit} are read; have it split")
        return content

    def exists(self, path: str) -> bool:
        """Say whether an object is there."""
        folder, _, name = path.rpartition("/")
        return any(one.name == name for one in self.entries(folder))

    def aside(self, path: str, content: bytes) -> None:
        """Refuse."""
        raise UnsupportedError(f"{self._context.system}: a bucket is read only; nothing was written")

    def rename(self, path: str, to: str) -> None:
        """Refuse."""
        raise UnsupportedError(f"{self._context.system}: a bucket is read only; nothing was renamed")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._prefix, path.strip("/")) if part)

    def _pages(self, prefix: str) -> Iterator[Element]:
        asked, seen, news = {"list-type": "2", "delimiter": "/", "prefix": prefix}, Seen(), News()
        while True:
            answer = self._ask("/?" + urlencode(sorted(asked.items()), quote_via=quote), prefix)
            page = markup(answer.content, f"{self._context.system}'s list of {prefix or 'the bucket'}")
            yield page
            more = texts(page, "NextContinuationToken")
            if texts(page, "IsTruncated") != ["true"]:
                return
            if not more:
                answer.fail("answered a list that goes on, without saying where")
            seen.once(more[0], answer)
            news.heard([str(one.text) for one in page.iter("{*}Key", "{*}Prefix")], answer)
            asked["continuation-token"] = more[0]

    def _ask(self, path: str, what: str) -> Any:
        try:
            return self._http.send("GET", path, write=False, auth=self._auth)
        except RejectedError as error:  # a bucket without us in its rights is a trouble of ours, no record's
            raise UnavailableError(
                f"{self._context.system}, {what}: {error}; check the bucket, its region and our rights"
            ) from error


def _entries(page: Element, prefix: str) -> Iterator[Entry]:
    for one in page.iter("{*}Contents"):
        [key], [size], [changed] = texts(one, "Key"), texts(one, "Size"), texts(one, "LastModified")
        if key != prefix:
            yield Entry(key.removeprefix(prefix), int(size), int(datetime.fromisoformat(changed).timestamp()))
