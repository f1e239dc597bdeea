"""What one process commits is heard by another, so that nobody has to look again and again."""

from __future__ import annotations

import threading

from controlplane.store import Store, open_store, signals


def test_another_process_is_rung_by_what_is_committed_here(postgresql_store: Store) -> None:
    here = open_store(postgresql_store.engine.url.render_as_string(hide_password=False))
    there = open_store(postgresql_store.engine.url.render_as_string(hide_password=False))
    try:
        ready, heard = threading.Event(), threading.Event()
        there.signals.subscribe("once listening", ready.set)
        there.signals.subscribe(signals.deliveries("erp"), heard.set)
        here.start()
        there.start()
        assert ready.wait(30), "who begins to listen rings everybody once, for what it may have missed"
        heard.clear()
        with here.write() as connection:
            signals.note(connection, signals.deliveries("erp"))
        assert heard.wait(30)
    finally:
        here.close()
        there.close()
