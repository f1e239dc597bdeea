"""Parquet files compared on Spark, local or a cluster's: candidates come back, each is judged here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.comparisons.answer import CouldNotCompare, Result
from probes.comparisons.engines.judging import Held, judged
from probes.comparisons.engines.queries import Task, candidates, summary, translated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXACT = ("tinyint", "smallint", "int", "bigint", "decimal")
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.shuffle.partitions": "8",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
REMEDY = "install the extra `spark` and a Java runtime (17 or newer), or leave TRUEUP_COMPARE_ENGINE empty"


def compare_on_spark(
    files: Sequence[Path],
    names: Sequence[str],
    keys: Sequence[str],
    values: Sequence[str],
    tolerance: Decimal,
    master: str,
    limit: int = 100,
) -> Result:
    """Compare Parquet files on Spark; `master` is `local` or `spark://HOST:PORT`. Raises CouldNotCompare.

    Values have to be whole numbers or decimals. A cluster's workers must find the files at the same paths.
    """
    started = time.perf_counter()
    session = _session(master)
    views = tuple(f"side_{number}" for number in range(len(files)))
    task = Task(views, tuple(keys), tuple(values), tolerance)
    for view, file in zip(views, files, strict=True):
        _read(session, view, file, keys, values)
    held = [Held(*map(int, session.sql(translated(summary(task, i), "spark")).first())) for i in range(len(files))]  # type: ignore[arg-type]
    rows = session.sql(translated(candidates(task), "spark")).toLocalIterator(prefetchPartitions=True)
    return judged(
        task, names, [str(file) for file in files], held, map(tuple, rows), limit, time.perf_counter() - started
    )


def _session(master: str) -> SparkSession:
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise CouldNotCompare([f"Spark is not installed; {REMEDY}"]) from error
    builder: Any = SparkSession.builder.appName("trueup compare").master("local[*]" if master == "local" else master)
    for name, value in SETTINGS.items():
        if master == "local" or "driver" not in name:
            builder = builder.config(name, value)
    try:
        session: SparkSession = builder.getOrCreate()
    except Exception as error:  # what the gateway to Java raises is of no one class
        raise CouldNotCompare([f"Spark could not be started ({type(error).__name__}); {REMEDY}"]) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def _read(session: SparkSession, view: str, file: Path, keys: Sequence[str], values: Sequence[str]) -> None:
    from pyspark.errors import PySparkException

    try:
        frame = session.read.parquet(str(file.absolute()))
    except PySparkException as error:
        raise CouldNotCompare([f"{file}: Spark cannot read it as Parquet: {str(error).splitlines()[0]}"]) from error
    kinds = dict(frame.dtypes)
    for column in (*keys, *values):
        if column not in kinds:
            raise CouldNotCompare([f"{file}: has no column {column!r}; it has {', '.join(kinds)}"])
    for value in values:
        if not kinds[value].startswith(EXACT):
            raise CouldNotCompare(
                [f"{file}: column {value!r} is {kinds[value]}: --value needs whole numbers or decimals on Spark"]
            )
    frame.createOrReplaceTempView(view)
