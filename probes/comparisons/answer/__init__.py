"""What a comparison of tables answers, whatever engine came to it: frozen values, and how people and programs are told."""

from probes.comparisons.answer.model import Difference, Result, SourceSummary
from probes.comparisons.answer.problems import CouldNotCompare

__all__ = ["CouldNotCompare", "Difference", "Result", "SourceSummary"]
