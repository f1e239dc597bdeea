"""Statements that wait, as PostgreSQL takes them: in one pipeline, with the errors and the ends of an ordinary transaction."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from controlplane.store import Store, direct

REASON = "INSERT INTO registry_version (recorded_at, reason) VALUES (0, %s)"


def reasons(store: Store) -> list[str]:
    with store.read() as connection:
        return direct.fetch_column(connection, "SELECT reason FROM registry_version ORDER BY version")


def test_what_waits_is_answered_in_order_and_committed(postgresql_store: Store) -> None:
    with postgresql_store.write() as connection:
        direct.later(connection, REASON, ("first",))
        count = direct.Asked(connection, "SELECT count(*) FROM registry_version")
        direct.later(connection, REASON, ("second",))
        assert direct.fetch_column(connection, "SELECT count(*) FROM registry_version") == [2]
        assert count.rows() == [(1,)]
    assert reasons(postgresql_store) == ["first", "second"]


def test_what_waits_and_fails_undoes_the_transaction_and_the_connection_goes_on(postgresql_store: Store) -> None:
    def refused() -> None:
        with postgresql_store.write() as connection:
            direct.later(connection, REASON, ("lost with the rest",))
            direct.later(connection, REASON, (None,))
            direct.later(connection, REASON, ("never run",))

    for _ in range(3):
        with pytest.raises(IntegrityError, match="null value"):
            refused()
    assert reasons(postgresql_store) == []
    with postgresql_store.write() as connection:
        direct.later(connection, REASON, ("fine",))
    assert reasons(postgresql_store) == ["fine"]


def test_postgresql_ends_a_session_that_stopped_in_the_middle_of_a_transaction(postgresql_store: Store) -> None:
    """Else a process that hangs keeps its locks: what is sent to PostgreSQL has to end with a Sync."""

    def stopped() -> None:
        with postgresql_store.write() as connection:
            direct.later(connection, "SET LOCAL idle_in_transaction_session_timeout = '200ms'")
            direct.later(connection, REASON, ("first",))
            direct.fetch(connection, "SELECT 1")  # with what waits, in one pipeline
            time.sleep(1)
            direct.fetch(connection, "SELECT 2")

    with pytest.raises(OperationalError):
        stopped()
    assert reasons(postgresql_store) == []


@pytest.mark.timeout(60)
def test_more_than_the_socket_takes_at_once_is_sent_whole(postgresql_store: Store) -> None:
    """A socket of the machine takes some 200 kB at once; this one less, so that it is seen on a network's too."""
    with postgresql_store.write() as connection:
        raw: Any = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(raw.pgconn.socket)) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        large = "x" * 8_000_000
        asked = direct.Asked(connection, "SELECT length(%s::text), %s::text", (large, large))
        assert direct.fetch(connection, "SELECT length(%s::text)", (large,)) == [(8_000_000,)]
        [(length, back)] = asked.rows()
        assert (length, back == large) == (8_000_000, True), "what it answers meanwhile is read"


def test_an_error_names_the_statements_that_were_sent_together(postgresql_store: Store) -> None:
    def wrong() -> None:
        with postgresql_store.write() as connection:
            direct.later(connection, REASON, ("first",))
            direct.fetch(connection, "SELECT no_such_column FROM registry_version")

    with pytest.raises(DBAPIError, match="no_such_column") as told:
        wrong()
    assert "INSERT INTO registry_version" in str(told.value)
