"""One JSON line per event, of ours and of the libraries' alike."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer


class LogFile(io.TextIOWrapper):
    """A log that does not stand in the way of the work: what a full disk does not take is not told."""

    def write(self, text: str, /) -> int:
        """Write if that is possible."""
        with suppress(OSError):
            super().write(text)
        return len(text)


@contextmanager
def telling(file: TextIO) -> Iterator[None]:
    """Write to the file what this process has to tell meanwhile; what was configured before holds again afterwards."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()  # else they would be closed, and they are to go on
    try:
        configure(file)
        yield
    finally:
        structlog.configure(**before)
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)


def configure(file: TextIO) -> None:
    """Write what this process has to tell to the file, from INFO on; of libraries only from WARNING on."""
    told: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[*told, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=file),
    )
    handler = logging.StreamHandler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *told],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
