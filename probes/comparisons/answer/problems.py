"""What stops a comparison of files.

FileProblem        one side cannot be read, or a request makes no sense: names the thing, the rule, the remedy
CouldNotCompare    all problems of one run together; the command prints one line for each and exits with 2
"""

from collections.abc import Sequence


class FileProblem(Exception):  # noqa: N818 - it names a problem of a file, and is told as such
    """One reason why a side could not be read; its text is one line for people."""


class CouldNotCompare(Exception):  # noqa: N818 - the outcome's name, as in the documentation
    """The comparison could not be made; `problems` holds one line for each reason, never empty."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))
