"""What a process tells while a stage of its own is up, and afterwards."""

from __future__ import annotations

import io
import json
import logging

import structlog

from controlplane import logs


def test_what_is_told_meanwhile_goes_to_the_file_and_then_no_longer() -> None:
    before, handlers = structlog.get_config(), list(logging.getLogger().handlers)
    file = io.StringIO()
    with logs.telling(file):
        structlog.get_logger().info("ours", number=1)
        logging.getLogger("a.library").warning("theirs")
    told = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in told] == [("ours", "info"), ("theirs", "warning")]

    file.close()
    structlog.get_logger().info("after the stage was taken down")
    logging.getLogger("a.library").warning("this too")
    assert structlog.get_config() == before
    assert logging.getLogger().handlers == handlers
