"""Expected incidents are raised, told and resolved; no others are raised."""

from dataclasses import replace

from controlplane.scenarios.judge.facts import IncidentFact
from controlplane.scenarios.judge.incidents import judge
from controlplane.scenarios.scenario import ExpectedIncident

from .journals import minute

DRIFT = IncidentFact(
    "i1", "alert_rule/drift-open", {"comparison": "stock-three-way"}, "resolved", "Systems disagree", minute(10),
    minute(20), frozenset({"trigger", "resolve"}),
)  # fmt: skip
WANTED = ExpectedIncident(rule="alert_rule/drift-open")


def test_an_expected_incident_that_was_told_and_resolved_is_as_it_should_be() -> None:
    result = judge([DRIFT], [WANTED])
    assert (result.expected, result.raised, result.missed, result.false, result.untold) == (1, 1, [], [], [])


def test_one_expectation_covers_every_incident_of_its_rule() -> None:
    assert judge([DRIFT, replace(DRIFT, id="i2")], [WANTED]).false == []


def test_an_expected_incident_that_was_not_raised_is_missed() -> None:
    assert judge([], [WANTED]).missed == ["no incident of alert_rule/drift-open"]


def test_an_incident_with_other_labels_is_neither_expected_nor_what_was_expected() -> None:
    result = judge([DRIFT], [ExpectedIncident(rule=DRIFT.rule, labels={"comparison": "other"})])
    assert (len(result.missed), len(result.false)) == (1, 1)


def test_an_incident_that_never_reached_the_incident_tool_is_untold() -> None:
    assert len(judge([replace(DRIFT, told=frozenset())], [WANTED]).untold) == 1


def test_an_incident_that_an_outage_inhibits_need_not_be_told() -> None:
    assert judge([replace(DRIFT, told=frozenset(), inhibited=True)], [WANTED]).untold == []


def test_the_end_has_to_be_told_when_the_beginning_was() -> None:
    [reason] = judge([replace(DRIFT, told=frozenset({"trigger"}))], [WANTED]).untold
    assert "the end of" in reason


def test_an_incident_that_is_still_open_is_wrong_unless_it_stays_open_for_a_person() -> None:
    still = replace(DRIFT, state="open", resolved_at=None, told=frozenset({"trigger"}))
    assert len(judge([still], [WANTED]).untold) == 1
    assert judge([still], [WANTED.model_copy(update={"stays_open": True})]).untold == []
