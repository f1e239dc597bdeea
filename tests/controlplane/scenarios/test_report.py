"""The report: numbers in the shape that is promised, and a verdict that follows from the expectations alone."""

from controlplane.scenarios.judge.facts import Case
from controlplane.scenarios.judge.report import Report, judge
from controlplane.scenarios.scenario import Bounds, Expectations

from .journals import Journal, evidence, finding, truth

SHAPE = {
    "scenario": None,
    "seed": None,
    "simulated_seconds": None,
    "wall_seconds": None,
    "messages": {"accepted", "lost", "applied_twice", "quarantined"},
    "stock": {"wrong_at_end", "oversold_units"},
    "findings": {"true", "false", "missed", "cause_right", "indeterminate"},
    "incidents": {"expected", "raised", "missed", "false"},
    "detect_seconds": {"p50", "max"},
    "verdict": None,
}


def broken(report: Report) -> list[str]:
    return [check.name for check in report.checks if not check.holds]


def test_the_json_answer_has_the_promised_keys_and_no_others() -> None:
    numbers = judge(evidence(Journal()), Expectations()).numbers
    assert list(numbers) == list(SHAPE)
    for name, keys in SHAPE.items():
        if keys:
            assert set(numbers[name]) == keys
    assert (numbers["simulated_seconds"], numbers["verdict"]) == (7200.0, "pass")


def test_a_lost_document_fails_and_is_named() -> None:
    report = judge(evidence(Journal().document(1, "receipt", "RCV-1"), ended=2), Expectations())
    assert broken(report) == ["documents lost"]
    assert report.numbers["verdict"] == "fail"
    assert any("RCV-1" in reason for check in report.checks for reason in check.reasons)


def test_wrong_books_fail_although_they_are_no_shop_keys() -> None:
    report = judge(evidence(Journal(), at_end=[truth(erp=49)]), Expectations())
    assert broken(report) == ["ERP books wrong at the end"]
    assert report.numbers["stock"]["wrong_at_end"] == 0


def test_a_plane_that_does_not_come_to_rest_fails() -> None:
    assert broken(judge(evidence(Journal(), unrest=("3 deliveries owed",)), Expectations())) == [
        "still moving when the wait ended"
    ]


def test_quarantined_records_must_be_as_many_as_expected() -> None:
    given = evidence(Journal(), cases=(Case("x", "{}", "no such code", "waiting"),))
    assert broken(judge(given, Expectations())) == ["records quarantined"]
    assert judge(given, Expectations(quarantined=Bounds(min=1, max=2))).passed


def test_oversold_units_beyond_the_expected_fail() -> None:
    given = evidence(Journal().write(1, "oversold", order="#1", sku="x", units=2))
    assert broken(judge(given, Expectations())) == ["units oversold"]
    assert judge(given, Expectations(oversold_units=2)).passed


def test_too_few_findings_of_an_expected_cause_fail() -> None:
    wanted = Expectations(findings={"changed_at_target": 1})
    assert broken(judge(evidence(Journal()), wanted)) == ["findings: changed_at_target"]


def test_a_false_finding_fails() -> None:
    assert "false findings" in broken(judge(evidence(Journal(), findings=(finding("late", 9),)), Expectations()))
