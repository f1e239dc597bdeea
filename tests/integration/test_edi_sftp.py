"""EDI X12 over SFTP, with OpenSSH's own server: its key is checked, and a connection that breaks is opened anew."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from controlplane.connectors.folders import aside_of
from controlplane.errors import SettingsError, UnavailableError
from controlplane.sandbox.edi.partner import Partner
from controlplane.store import Store
from rules.outcomes import Result
from tests.controlplane.connectors.x12_kit import Bench, drafts, interchange, one_set, order, polled
from tests.integration.sftp import Server, sftp

__all__ = ["sftp"]


def bench_of(server: Server, store: Store, **changes: Any) -> Bench:
    """A partner's folders at the server."""
    options = {"host_key": server.host_key, "archive": "archive", **changes}
    return Bench(server.root, store, options=options, endpoint=server.endpoint, secrets=server.secrets)


def test_orders_go_out_and_shipments_come_in_over_sftp(sftp: Server, sqlite_store: Store) -> None:
    bench = bench_of(sftp, sqlite_store)
    partner = Partner(sftp.root, {"SKU-1": 40})
    connector = bench.connector()
    connector.ping()
    assert connector.write(order()).result is Result.UNKNOWN
    assert not list((sftp.root / "out").glob(".*"))
    partner.step(bench.clock.now())
    partner.step(bench.clock.now())
    assert connector.read_back(order()).result is Result.ALREADY_DELIVERED
    (draft,) = drafts(connector, polled(connector))
    assert (draft.type, draft.data["lines"]) == ("shipment.shipped", [{"sku": "SKU-1", "quantity": 3}])
    assert len(list((sftp.root / "archive").iterdir())) == 2
    assert connector.read_back(order()).result is Result.ALREADY_DELIVERED
    connector.close()


def test_another_host_key_is_not_spoken_to(sftp: Server, sqlite_store: Store) -> None:
    other = (sftp.work / "other_key.pub").read_text()
    with pytest.raises(UnavailableError, match=r"shows another key than options\.host_key; nothing was sent"):
        bench_of(sftp, sqlite_store, host_key=other).connector().ping()
    log = (sftp.work / "sshd.log").read_text()
    assert "Accepted" not in log


def test_a_host_key_is_asked_for(sftp: Server, sqlite_store: Store) -> None:
    with pytest.raises(SettingsError, match="the server's key is not stated"):
        bench_of(sftp, sqlite_store, host_key="").connector()


def test_who_is_not_let_in_is_told_to_check_the_secrets(sftp: Server, sqlite_store: Store) -> None:
    bench = bench_of(sftp, sqlite_store)
    bench.secrets["private_key"] = (sftp.work / "other_key").read_text()
    outcome = bench.connector().write(order())
    assert outcome.result is Result.UNAVAILABLE
    assert "does not let us in; check the secrets" in outcome.detail


def test_a_key_that_is_none_is_not_shown(sftp: Server, sqlite_store: Store) -> None:
    bench = bench_of(sftp, sqlite_store)
    bench.secrets["private_key"] = "hunter2"
    with pytest.raises(SettingsError, match="is no key of the kinds") as raised:
        bench.connector().ping()
    assert "hunter2" not in str(raised.value)


def test_a_connection_that_broke_is_opened_anew(sftp: Server, sqlite_store: Store) -> None:
    connector = bench_of(sftp, sqlite_store).connector()
    connector.ping()
    sftp.break_connections()
    with suppress(UnavailableError):  # unless it was noticed before
        connector.ping()
    connector.ping()


def test_a_server_that_is_gone_leaves_the_order_waiting_and_proves_nothing(sftp: Server, sqlite_store: Store) -> None:
    connector = bench_of(sftp, sqlite_store).connector()
    connector.write(order())
    sftp.stop()
    assert connector.read_back(order()).result is Result.UNAVAILABLE
    assert connector.write(order("delivery-2", "#1002")).result is Result.UNAVAILABLE


def test_a_name_that_is_taken_is_not_written_over(sftp: Server, sqlite_store: Store) -> None:
    bench = bench_of(sftp, sqlite_store)
    path = sftp.root / "out" / "940_000000001.x12"
    path.write_text("somebody else's")
    outcome = bench.connector().write(order())
    assert outcome.result is Result.UNKNOWN
    assert path.read_text() == "somebody else's"
    assert Path(aside_of(str(path))).exists()


def test_a_poll_that_breaks_off_goes_on_where_it_was(sftp: Server, sqlite_store: Store) -> None:
    bench = bench_of(sftp, sqlite_store)
    lines = ("W17*F*20261127*R-{}*PO-9", "W07*5*EA**VN*SKU-1")
    for number in (1, 2):
        told = one_set("944", *(line.format(number) for line in lines))
        bench.drop(interchange(told, group="RE", control=number), f"{number}.edi")
    connector = bench.connector()
    walk = connector.poll("interchanges", None)
    committed = next(walk).cursor
    sftp.stop()
    with pytest.raises(UnavailableError):
        next(walk)
    sftp.start()
    (draft,) = drafts(connector, polled(connector, committed))
    assert draft.subject == "R-2"
    assert sorted(text.split("AK1*RE*")[1][:1] for text in bench.said()) == ["1", "2"]


def test_an_address_that_policy_does_not_open_is_not_connected_to(sftp: Server, sqlite_store: Store) -> None:
    from dataclasses import replace

    from controlplane.connectors.builtin.edi_x12.connector import EdiX12Connector

    context = bench_of(sftp, sqlite_store).connector().context
    with pytest.raises(UnavailableError, match="no connection was made"):
        EdiX12Connector(replace(context, internal=frozenset())).ping()
