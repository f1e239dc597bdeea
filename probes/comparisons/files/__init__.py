"""The comparison of plain files: read each exactly, align the keys, judge, report."""

from probes.comparisons.files.compare import compare_files
from probes.comparisons.files.model import Result
from probes.comparisons.files.problems import CouldNotCompare

__all__ = ["CouldNotCompare", "Result", "compare_files"]
