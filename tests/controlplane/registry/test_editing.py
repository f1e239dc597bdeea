"""What an editor needs of change requests: a lint of a text, what one may do and why not, and never to overwrite unseen."""

from __future__ import annotations

import pytest

from controlplane.clock import ManualClock
from controlplane.errors import BadInputError, ConflictError, ForbiddenError
from controlplane.registry import Registry
from controlplane.registry.changes import Changes
from controlplane.views.threads import thread
from rules.policy.writing import to_yaml
from tests.controlplane.registry.common import ADA, ADMIN, BEN, BOTH, WIM, approved, drafted, person, policy

VIC = person("vic", "viewer")


def text(changes: Changes, **spec: object) -> str:
    """Return the retry policy `default` as YAML, with some keys changed."""
    return to_yaml(policy(changes, **spec))


def test_a_text_without_a_problem_has_none_in_the_whole_registry(changes: Changes) -> None:
    assert changes.lint(text(changes, cap="9m"), ADA, "RetryPolicy", "default") == []


def test_each_problem_has_its_line_its_rule_and_its_remedy(changes: Changes) -> None:
    written = text(changes).replace("budget: 1d", "budget: never").replace("factor:", "facter:")
    first, second = changes.lint(written, ADA, "RetryPolicy", "default")
    lines = written.splitlines()
    assert lines[first.line - 1].strip().startswith("facter:")
    assert (first.rule, first.remedy) == ("unknown key 'facter'", "did you mean 'factor'?")
    assert lines[second.line - 1].strip() == "budget: never"
    assert "is not a duration" in second.rule


@pytest.mark.parametrize(
    ("written", "line", "rule"),
    [
        ("kind: [", 1, "expected the node content"),
        ("a: 1\na: 2\n", 2, "the key 'a' is told twice"),
        ("", 1, "one policy is wanted here, and there are none"),
        ("a: 1\n---\nb: 2\n", 3, "one policy is wanted here, and there are 2"),
        ("- 1\n", 1, "a policy is a mapping"),
    ],
)
def test_what_is_no_policy_at_all_is_told_with_its_line(changes: Changes, written: str, line: int, rule: str) -> None:
    [problem] = changes.lint(written, ADA)
    assert problem.line >= line
    assert rule in problem.rule


def test_a_text_that_became_another_policy_is_told(changes: Changes) -> None:
    [problem] = changes.lint(text(changes).replace("name: default", "name: other"), ADA, "RetryPolicy", "default")
    assert (problem.path, problem.remedy) == ("metadata.name", "write name: default")


def test_what_would_break_in_another_policy_is_told_by_its_name(registry: Registry, changes: Changes) -> None:
    pager = to_yaml(registry.snapshot().systems["pager"].model_dump(mode="json"))
    first, *_ = changes.lint(pager.replace("role: incident", "role: bi"), ADA, "System", "pager")
    assert (first.kind, first.name, first.line) == ("EscalationPath", "records", 0)
    assert first.rule == "the System 'pager' has the role bi, and incident is wanted here"


def test_a_lint_keeps_nothing(changes: Changes) -> None:
    changes.lint(text(changes, cap="9m"), ADA)
    assert changes.list() == []


def test_a_proposal_on_a_revision_that_is_not_in_force_any_more_is_refused_and_leaves_nothing(changes: Changes) -> None:
    changes.apply(approved(changes, cap="6m").id, ADA)
    with pytest.raises(ConflictError, match="revision 2 by 'ada' came into force since you opened revision 1"):
        changes.open("RetryPolicy", "default", policy(changes, cap="7m"), "Second", "", ADA, seen=1)
    assert len(changes.list()) == 1
    assert (
        changes.open("RetryPolicy", "default", policy(changes, cap="7m"), "Second", "", ADA, seen=2).base_revision == 2
    )


def test_the_second_editor_of_a_request_is_refused_and_the_first_edit_stays(changes: Changes) -> None:
    request = drafted(changes)
    first = changes.only_if([request.etag]).edit(request.id, policy(changes, cap="8m"), BOTH)
    with pytest.raises(ConflictError, match="was edited by 'eve' since you looked at it"):
        changes.only_if([request.etag]).edit(request.id, policy(changes, cap="7m"), ADA)
    assert changes.get(request.id).document == first.document


def test_a_rebase_onto_what_was_not_looked_at_is_refused(changes: Changes) -> None:
    request = drafted(changes)
    changes.apply(approved(changes, cap="6m").id, ADA)
    with pytest.raises(ConflictError, match="revision 2 by 'ada' came into force since you opened revision 1"):
        changes.edit(request.id, policy(changes, cap="7m"), ADA, rebase=True, onto=1)
    assert changes.edit(request.id, policy(changes, cap="7m"), ADA, rebase=True, onto=2).base_revision == 2


def test_nobody_approves_a_document_that_was_edited_since_they_looked(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    changes.edit(request.id, policy(changes, cap="8m"), ADA)
    changes.submit(request.id, ADA)
    with pytest.raises(ConflictError, match="was edited by 'ada' since you looked"):
        changes.only_if([request.etag]).vote(request.id, BEN, "approve")
    assert changes.get(request.id).valid_votes == ()


def test_why_somebody_may_not_is_said_for_each_deed(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    admin, author, approver = (changes.refusals(request.id, who) for who in (ADMIN, ADA, BEN))
    assert admin["approve"] == "an admin approves nothing, whatever other roles"
    assert "comment" not in admin
    assert author["submit"] == "it is in review, and has to be draft for this"
    assert {"edit", "rebase", "withdraw", "simulate"}.isdisjoint(author)
    assert {"approve", "reject", "comment"}.isdisjoint(approver)
    assert (
        changes.refusals(request.id, VIC)["comment"]
        == "it takes the role editor or admin or approver, and yours is viewer"
    )


def test_who_wrote_it_is_told_so_whatever_the_roles(changes: Changes) -> None:
    request = changes.submit(drafted(changes, BOTH).id, BOTH)
    assert (
        changes.refusals(request.id, BOTH)["approve"] == "you wrote it, so another person has to, whatever your roles"
    )


def test_what_may_be_done_is_what_is_not_refused(changes: Changes) -> None:
    request = changes.submit(drafted(changes).id, ADA)
    assert "approve" not in changes.refusals(request.id, BEN)
    changes.vote(request.id, BEN, "approve")
    changes.vote(request.id, WIM, "approve")
    assert "apply" not in changes.refusals(request.id, ADA)
    changes.apply(request.id, ADA)
    assert changes.refusals(request.id, ADA)["withdraw"] == "it is effective, and decided"


def test_a_comment_is_a_step_of_the_thread_and_changes_nothing(changes: Changes, clock: ManualClock) -> None:
    request = drafted(changes)
    clock.advance(60)
    changes.edit(request.id, policy(changes, cap="8m"), ADA)
    before = changes.get(request.id)
    changes.comment(request.id, WIM, " why so long? ")
    assert changes.get(request.id) == before
    with changes.store.read() as conn:
        steps = [(one.actor, one.step, one.said) for one in thread(conn, request.id)]
    assert steps == [
        ("ada", "open", "the ERP asks for it"), ("ada", "edit", "spec.cap: 9m → 8m"), ("wim", "comment", "why so long?"),
    ]  # fmt: skip


def test_who_may_neither_propose_nor_approve_does_not_comment(changes: Changes) -> None:
    request = drafted(changes)
    with pytest.raises(ForbiddenError, match=r"policy\.propose"):
        changes.comment(request.id, VIC, "hello")
    with pytest.raises(BadInputError, match="a comment says something"):
        changes.comment(request.id, WIM, "  ")
