"""The comparison of plain files: read each exactly, align the keys, judge, report."""

from probes.comparisons.answer.model import Result
from probes.comparisons.answer.problems import CouldNotCompare
from probes.comparisons.files.compare import compare_files

__all__ = ["CouldNotCompare", "Result", "compare_files"]
