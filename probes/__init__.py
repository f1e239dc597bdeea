"""Probes: functions `(ProbeContext) -> list[Observation]`, found by entry point `trueup.probes`.

Law: a probe reads committed rows or asks a system; it changes nothing, and what it cannot know it says is unknown.
"""
