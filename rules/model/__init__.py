"""The canonical model: what every system's records are translated into. Frozen values; integers for units, Decimal for money."""
