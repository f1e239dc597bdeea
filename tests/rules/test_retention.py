"""How long things are kept, where a policy says so and where it does not."""

from __future__ import annotations

from datetime import timedelta

from rules.policy.kinds import KEPT, RetentionSpec


def test_nothing_is_deleted_for_good_because_a_policy_says_nothing() -> None:
    silent = RetentionSpec()
    assert silent.messages == silent.attempts == KEPT
    told = RetentionSpec.model_validate({"messages": "60d"})
    assert told.attempts == told.messages == timedelta(days=60), "attempts go with their messages"
    archived = RetentionSpec.model_validate({"archive": "file:///var/archive"})
    assert (archived.attempts, archived.messages) == (timedelta(days=90), timedelta(days=400))
    assert RetentionSpec.model_validate(archived.model_dump()) == archived
