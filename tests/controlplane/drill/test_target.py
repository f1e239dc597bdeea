"""What may be drilled, at which rates, with which policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.access import ensure_cli_token
from controlplane.clock import ManualClock
from controlplane.drill.target import parse_rates, policies_of_plane, refuse_production, target_of
from controlplane.errors import BadInputError, ForbiddenError, NotFoundError
from controlplane.registry import Snapshot
from controlplane.settings import Settings
from tests.controlplane.drill.conftest import changed
from tests.web import a_plane, served

LIVE = "https://example.myshopify.com"


@pytest.mark.parametrize("environment", [None, "production", "prod", "Sandbox"])
def test_a_system_that_may_be_production_is_refused_and_told_how_it_is_known(
    shipped: Snapshot, environment: str | None
) -> None:
    labels = {"environment": environment} if environment else {}
    system = changed(shipped, "shop", labels, endpoint=LIVE).systems["shop"]
    with pytest.raises(ForbiddenError) as told:
        refuse_production(system)
    for part in (
        "metadata.labels.environment",
        "sandbox, test or staging",
        "${SANDBOX}",
        "--force",
        environment or "no label",
    ):
        assert part in str(told.value)


@pytest.mark.parametrize("environment", ["sandbox", "test", "staging"])
def test_a_system_that_says_it_is_none_is_drilled(shipped: Snapshot, environment: str) -> None:
    refuse_production(changed(shipped, "shop", {"environment": environment}, endpoint=LIVE).systems["shop"])


def test_the_sandbox_is_drilled(shipped: Snapshot) -> None:
    refuse_production(shipped.systems["shop"])


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("1,2,4", (1, 2, 4)),
        ("4,1,1", (1, 4)),
        ("0.5", (0.5,)),
        ("2:10:2", (2, 4, 6, 8, 10)),
        ("1:32", (1, 2, 4, 8, 16, 32)),
        ("3:20", (3, 6, 12)),
        ("1:2:0.25", (1, 1.25, 1.5, 1.75, 2)),
    ],
)
def test_rates_are_a_list_a_range_or_doubled(text: str, rates: tuple[float, ...]) -> None:
    assert parse_rates(text) == rates


@pytest.mark.parametrize("text", ["", "fast", "0", "-1,2", "1:2:0", "5:1", "1:1000:1", "1:2:3:4", "0:8", "nan", "inf"])
def test_rates_that_make_no_sense_are_refused_with_what_is_taken(text: str) -> None:
    with pytest.raises(BadInputError, match="FROM:TO:STEP"):
        parse_rates(text)


@pytest.mark.parametrize(
    ("system", "flow", "remedy"),
    [
        ("warehouse", "orders", "erp, wms, shop"),
        ("erp", "order", "there are: .*orders"),
        ("erp", "stock-offers", "flows that do: orders, shipments"),
    ],
)
def test_a_name_that_leads_nowhere_is_answered_with_those_that_lead_somewhere(
    shipped: Snapshot, system: str, flow: str, remedy: str
) -> None:
    with pytest.raises(NotFoundError, match=remedy):
        target_of(shipped, system, flow)


def test_the_policies_of_the_running_plane_are_read_over_its_api(
    tmp_path: Path, clock: ManualClock, shipped: Snapshot
) -> None:
    with a_plane(tmp_path, clock) as plane, served(plane) as url:
        ensure_cli_token(plane.store, clock, tmp_path / "cli-token", account="vic")
        settings = Settings(home=tmp_path, port=int(url.rpartition(":")[2]), database_url="", engine="embedded")
        assert policies_of_plane(settings).documents == shipped.documents
