"""Whether something may have taken effect, judged by all tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.doubt import Tried, in_doubt, may_change
from rules.outcomes import Result

READ_BACK = Tried("read-back", "absent")
TRIES = st.lists(st.builds(Tried, st.sampled_from(["write", "read-back", "repeat"]), st.sampled_from(list(Result))))


@given(TRIES, TRIES)
def test_only_what_was_looked_for_and_not_found_or_found_refused_takes_a_doubt_away(
    before: list[Tried], after: list[Tried]
) -> None:
    tries = [*before, Tried("write", "unknown"), *after]
    if not any(
        one.outcome is Result.ABSENT or (one.kind, one.outcome) == ("read-back", Result.REJECTED) for one in after
    ):
        assert in_doubt(tries)


@given(TRIES)
def test_what_was_tried_before_a_proof_counts_for_nothing(before: list[Tried]) -> None:
    assert not in_doubt([*before, READ_BACK])


@pytest.mark.parametrize(
    ("tries", "doubt"),
    [
        ([], False),
        ([("write", "rejected")], False),
        ([("write", "unavailable"), ("write", "throttled"), ("write", "rejected")], False),
        ([("write", "unknown"), ("read-back", "unavailable")], True),
        ([("write", "unknown"), ("read-back", "unseen"), ("write", "rejected")], True),
        ([("read-back", "unavailable")], True),
        ([("repeat", "rejected")], True),
        ([("read-back", "absent"), ("write", "delivered")], True),
        ([("write", "unknown"), ("read-back", "unknown"), ("read-back", "rejected")], False),
        ([("write", "unknown"), ("read-back", "rejected"), ("write", "unknown")], True),
    ],
)
def test_a_doubt_stays_through_whatever_proves_nothing(tries: list[tuple[str, str]], doubt: bool) -> None:
    assert in_doubt(Tried(*one) for one in tries) is doubt


@given(st.sampled_from(list(Result)), st.booleans(), st.booleans())
def test_a_corrected_payload_is_let_go_by_a_proof_or_a_word_and_never_against_what_is_shown(
    seen: Result, doubtful: bool, vouched: bool
) -> None:
    may = may_change(seen, doubtful=doubtful, vouched=vouched)
    assert may <= (seen in (Result.ABSENT, Result.REJECTED, Result.UNSEEN, Result.UNKNOWN))
    if doubtful and not vouched:
        assert may == (seen in (Result.ABSENT, Result.REJECTED))
