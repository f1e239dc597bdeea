"""Declared files where they lie elsewhere: with OpenSSH's SFTP server, and in a bucket of an S3 that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from controlplane.connectors.contract import UnsupportedError
from controlplane.connectors.declared.checks import check
from controlplane.connectors.declared.connector import DeclaredConnector
from controlplane.connectors.drops import folders_of
from controlplane.errors import UnavailableError, UnreadableError
from tests.addresses import opened
from tests.controlplane.connectors.conftest import Given
from tests.integration.sftp import Server, sftp

__all__ = ["sftp"]
KEYS = {"key_id": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI-of-a-test"}
HEAD, MORE = "sku,count\nA1,5\n", "sku,count\nA1,5\nA2,7\n"


def manifest(**read: Any) -> dict[str, Any]:
    levels = {"sku": "sku", "location": {"value": "WH1"}, "on_hand": {"path": "count", "as": "integer"}}
    return {
        "kind": "files", "title": "Stock",
        "reads": [{"entity": "stock", "pattern": "stock_*.csv", "form": "csv", "identity": "sku", "levels": levels, **read}],
    }  # fmt: skip


def levels(connector: DeclaredConnector) -> list[tuple[str, int | None]]:
    return [(one.sku, one.on_hand) for page in connector.snapshot("stock") for one in page]


def test_files_of_an_sftp_server_are_read(sftp: Server) -> None:
    (sftp.root / "stock_1.csv").write_text(HEAD)
    (sftp.root / "stock_2.csv").write_text(MORE)
    (sftp.root / "stock_3.csv.part").write_text("sku,cou")
    connector = DeclaredConnector(
        Given(sftp.endpoint, sftp.secrets, {"manifest": manifest(), "host_key": sftp.host_key}, timeout=20).context(
            frozenset(sftp.secrets)
        )
    )
    connector.ping()
    assert levels(connector) == [("A1", 5), ("A2", 7)]
    connector.close()


def test_an_sftp_server_whose_key_is_not_stated_is_refused() -> None:
    [(path, rule, remedy)] = check("sftp://drop.example/in", {"manifest": manifest()})
    assert (path, "the server's key is not stated" in rule, "host_key" in remedy) == (("options",), True, True)


class Store:
    """An S3 on loopback, with a bucket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=KEYS["key_id"],
            aws_secret_access_key=KEYS["secret_key"],
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket="drop")

    def put(self, key: str, content: str) -> None:
        self.client.put_object(Bucket="drop", Key=key, Body=content.encode())

    def given(self, endpoint: str = "s3://drop/in", **changes: Any) -> Given:
        options = {"manifest": manifest(), "s3_endpoint": self.url}
        return Given(endpoint, KEYS, options, timeout=20, internal=opened(self.url), **changes)


@pytest.fixture
def bucket() -> Iterator[Store]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Store(f"http://{host}:{port}")
    server.stop()


def test_objects_below_a_prefix_are_read_page_by_page_and_those_further_down_are_not(bucket: Store) -> None:
    bucket.put("in/stock_1.csv", HEAD)
    bucket.put("in/stock_2 ä+&=.csv", MORE)
    bucket.put("in/deeper/stock_9.csv", HEAD)
    bucket.put("elsewhere/stock_9.csv", HEAD)
    for number in range(1100):
        bucket.put(f"in/other_{number}.txt", "")
    connector = DeclaredConnector(bucket.given().context())
    assert levels(connector) == [("A1", 5), ("A2", 7)]
    assert len(folders_of(bucket.given().context()).entries("")) == 1102
    connector.close()


def test_a_bucket_that_is_not_there_is_unavailable_by_its_name_and_shows_no_secret(bucket: Store) -> None:
    connector = DeclaredConnector(bucket.given("s3://gone/in").context())
    with pytest.raises(UnavailableError, match="NoSuchBucket") as raised:
        connector.ping()
    assert KEYS["secret_key"] not in str(raised.value) + str(raised.value.evidence)


def test_an_object_larger_than_is_read_is_refused_and_nothing_is_ever_written(bucket: Store) -> None:
    bucket.put("in/stock_1.csv", MORE)
    folders = folders_of(bucket.given().context())
    with pytest.raises(UnreadableError, match="20 bytes, and 5 are read"):
        folders.read("stock_1.csv", 5)
    with pytest.raises(UnsupportedError, match="read only"):
        folders.aside("stock_2.csv", b"")
    assert folders.exists("stock_1.csv")


def test_a_bucket_at_an_address_that_no_policy_opens_is_not_asked(bucket: Store) -> None:
    connector = DeclaredConnector(replace(bucket.given().context(), internal=frozenset()))
    with pytest.raises(UnavailableError, match="loopback"):
        connector.ping()
