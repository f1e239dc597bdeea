"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Return an instant as both databases keep it: whole microseconds since 1970."""
    return (instant - EPOCH) // MICROSECOND


def instant(microseconds: int) -> datetime:
    """Return the instant that a database keeps, in UTC."""
    return EPOCH + microseconds * MICROSECOND


BigKey = BigInteger().with_variant(Integer, "sqlite")
"""An integer primary key that counts up by itself on both databases."""


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant, kept as whole microseconds since 1970: sortable, exact, the same everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a naive datetime: it does not say which instant it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give an aware datetime in UTC")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        return None if value is None else EPOCH + int(value) * MICROSECOND


class Amount(TypeDecorator[Decimal]):
    """An exact decimal number, kept as text: neither database gets to round it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Refuse floats: they have lost digits already."""
        if value is None:
            return None
        if isinstance(value, float):
            raise TypeError(f"{value!r} is a float; give a Decimal")
        return format(Decimal(value), "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the number with the digits it was stored with."""
        return None if value is None else Decimal(value)


class Json(TypeDecorator[Any]):
    """A JSON document; None is SQL NULL."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """PostgreSQL keeps it parsed."""
        kind = JSONB(none_as_null=True) if dialect.name == "postgresql" else JSON(none_as_null=True)
        return dialect.type_descriptor(kind)
