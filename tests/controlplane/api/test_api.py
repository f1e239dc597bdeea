"""The API over real HTTP: nothing without signing in, problems in words, deeds behind rights, webhooks by their signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from controlplane.access import issue_token
from controlplane.app import create_app
from controlplane.store import tables as t
from controlplane.wiring import Plane
from dashboards.app import mount
from tests.dashboards.seed import Seed
from tests.web import PASSWORD, a_plane, served, signed_in

SECRET = "whsec_for_tests"
OPEN = {"/healthz", "/readyz", "/login", "/login/oidc", "/login/oidc/callback", "/login/oidc/leave"}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A seeded plane whose shop has a webhook secret."""
    home: Path = tmp_path_factory.mktemp("home")
    with a_plane(home) as found:
        found.settings.secrets.mkdir(parents=True, exist_ok=True)
        for name in ("shop_webhook_secret", "shop_access_token"):
            (found.settings.secrets / name).write_text(SECRET)
        yield found


@pytest.fixture(scope="module")
def ids(plane: Plane) -> dict[str, str]:
    """What the seed made."""
    story = Seed(plane)
    story.everything()
    story.business()
    return story.ids


@pytest.fixture(scope="module")
def url(plane: Plane, ids: dict[str, str]) -> Iterator[str]:
    """The plane's address, pages included."""
    with served(plane, [mount]) as found:
        yield found


@pytest.fixture
def nobody(url: str) -> httpx.Client:
    """A client that has not signed in."""
    return httpx.Client(base_url=url, trust_env=False)


def test_no_route_answers_without_signing_in_but_the_listed_ones(plane: Plane, nobody: httpx.Client) -> None:
    app = create_app(plane, mounts=[mount])
    for rule in app.url_map.iter_rules():
        if rule.endpoint in {"hooks.take", "login.static"}:
            continue
        path = rule.rule
        for argument in rule.arguments:
            path = (
                path.replace(f"<path:{argument}>", "x")
                .replace(f"<{argument}>", "x")
                .replace(f"<string:{argument}>", "x")
            )
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = nobody.request(method, path)
            denied = answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"
            assert denied == (path not in OPEN), f"{method} {path} answered {answer.status_code}"


def test_a_page_that_needs_a_session_leads_to_the_sign_in_and_back(nobody: httpx.Client) -> None:
    answer = nobody.get("/flows/orders?minutes=60", headers={"Accept": "text/html"})
    assert answer.headers["location"] == "/login?next=/flows/orders%3Fminutes%3D60"
    form = {"name": "vic", "password": PASSWORD, "next": "/flows/orders"}
    assert nobody.post("/login", data=form).headers["location"] == "/flows/orders"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_sign_in_never_leads_to_another_site(nobody: httpx.Client, target: str) -> None:
    answer = nobody.post("/login", data={"name": "vic", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_a_wrong_password_and_a_foreign_form_are_refused(nobody: httpx.Client) -> None:
    assert nobody.post("/login", data={"name": "vic", "password": "wrong password"}).status_code == 401
    foreign = nobody.post(
        "/login", data={"name": "vic", "password": PASSWORD}, headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403


def test_the_session_cookie_is_out_of_reach_of_scripts_and_ends_on_the_server(url: str) -> None:
    client = httpx.Client(base_url=url, trust_env=False)
    answer = client.post("/login", data={"name": "vic", "password": PASSWORD})
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("trueup_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    kept = dict(client.cookies)
    client.post("/logout", data={"csrf_token": kept["_csrf_token"]})
    assert httpx.get(f"{url}/api/v1/me", cookies=kept, trust_env=False).status_code == 401


def test_every_answer_carries_the_protecting_headers(nobody: httpx.Client) -> None:
    for path in ("/login", "/healthz", "/api/v1/me"):
        headers = nobody.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self' 'sha256-" in policy
        assert "unsafe-eval" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_a_write_by_cookie_needs_the_token_of_the_session(url: str, ids: dict[str, str]) -> None:
    client = signed_in(url, "olga")
    del client.headers["X-CSRFToken"]
    answer = client.post(f"/api/v1/quarantine/{ids['case']}/drop", json={"reason": "no"})
    assert answer.status_code == 403
    assert "X-CSRFToken" in answer.json()["detail"]


def test_a_service_token_reads_metrics_and_api(plane: Plane, nobody: httpx.Client) -> None:
    token = issue_token(plane.store, plane.clock, "vic", "prometheus", actor="test")
    bearer = {"Authorization": f"Bearer {token}"}
    answer = nobody.get("/metrics", headers=bearer)
    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert b"trueup_" in answer.content
    plain = nobody.get("/metrics", headers=bearer | {"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert b"trueup_" in plain.content
    assert nobody.get("/api/v1/me", headers=bearer).json()["name"] == "vic"
    assert nobody.get("/metrics", headers={"Authorization": "Bearer tru_nothing"}).status_code == 401


def test_every_room_can_be_read(url: str, ids: dict[str, str]) -> None:
    client = signed_in(url, "vic")
    replay = {"flow": "orders", "since": "2026-01-01T00:00:00Z", "reason": "to be looked at"}
    replay_id = signed_in(url, "olga").post("/api/v1/replays", json=replay).json()["id"]
    routes = [route["path"] for route in client.get("/api/v1/").json()["routes"] if route["methods"] == ["GET"]]
    [run] = client.get("/api/v1/comparisons").json()["runs"]
    [owed] = client.get("/api/v1/deliveries", params={"target": "erp"}).json()["deliveries"]
    taken = client.get("/api/v1/intake").json()["intake"][0]["id"]
    known = {"systems/<name>": "systems/erp", "comparisons/<name>": "comparisons/stock-three-way",
             "indicators/<name>": "indicators/queue_depth", "service-levels/<name>": "service-levels/delivery-success",
             "comparison-runs/<run_id>": f"comparison-runs/{run['id']}", "<delivery_id>": owed["id"], "<intake_id>": taken,
             "<path:sku>": "TEE-005", "<sku>": "TEE-005", "<location>": "WH1", "<path:ref>": "%231001",
             "<path:key>": "%231001/shipped/revenue", "<name>": "orders", "<message_id>": ids["message"],
             "<finding_id>": ids["finding"], "<case_id>": ids["case"],
             "<incident_id>": ids["incident"], "<kind>": "Flow", "<replay_id>": replay_id,
             "<what>": "message", "<path:identity>": ids["message"],
             "<run_id>": signed_in(url, "olga").post("/api/v1/ledger/archive", json={}).json()["run"]}  # fmt: skip
    for route in routes:
        if "<request_id>" in route or "<part_id>" in route or route.endswith("/preview"):
            continue
        path = route
        for name, value in known.items():
            path = path.replace(name, value)
        answer = client.get(path)
        if path.startswith(("/api/v1/audit/", "/api/v1/accounts", "/api/v1/tokens")):
            assert answer.status_code == 403, "the action log and who has access are not for everybody"
            continue
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert answer.headers["content-type"] == "application/json"


def test_money_and_instants_keep_their_exactness(url: str, ids: dict[str, str]) -> None:
    found = signed_in(url, "vic").get(f"/api/v1/findings/{ids['finding']}").json()["finding"]
    assert found["money"] == "771.90"
    assert found["first_seen_at"].endswith("+00:00")


def test_problems_name_the_thing_the_rule_and_the_remedy(url: str) -> None:
    client = signed_in(url, "vic")
    for path, status in (("/api/v1/messages/nothing", 404), ("/api/v1/nothing", 404), ("/api/v1/flows/nothing", 404)):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert {"type", "title", "status", "detail"} == answer.json().keys()
        assert "nothing" in answer.json()["detail"]


def test_a_viewer_may_look_and_not_touch(url: str, ids: dict[str, str]) -> None:
    client = signed_in(url, "vic")
    for path, body in (
        (f"/api/v1/quarantine/{ids['case']}/replay", {}),
        (f"/api/v1/quarantine/{ids['case']}/drop", {"reason": "because"}),
        ("/api/v1/systems/erp/pause", {"reason": "because"}),
        ("/api/v1/comparisons/stock-three-way/runs", {}),
        (f"/api/v1/incidents/{ids['incident']}/acknowledge", {}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == 403, path
        assert "right" in answer.json()["detail"]


def test_a_case_is_corrected_then_dropped_and_not_twice(url: str, ids: dict[str, str]) -> None:
    client, case = signed_in(url, "olga"), f"/api/v1/quarantine/{ids['case']}"
    assert client.post(f"{case}/correct", json={"record": "no object"}).status_code == 422
    assert client.post(f"{case}/correct", json={"record": {"topic": "sales", "body": {}}}).status_code == 403
    assert client.post(f"{case}/correct", json={"set": {"body.row.plu": "900001"}}).json()["state"] == "corrected"
    assert client.post(f"{case}/drop", json={"reason": " "}).status_code == 422
    assert client.post(f"{case}/drop", json={"reason": "sold for the staff party"}).status_code == 200
    moved = client.post(f"{case}/drop", json={"reason": "again"})
    assert moved.status_code == 409
    assert "dropped" in moved.json()["detail"]


def test_a_system_is_paused_and_resumed_with_a_reason(url: str) -> None:
    client = signed_in(url, "olga")
    assert client.post("/api/v1/systems/wms/pause", json={"reason": "stocktaking"}).json() == {
        "system": "wms",
        "paused": True,
    }
    state = next(one for one in client.get("/api/v1/systems").json()["systems"] if one["name"] == "wms")["state"]
    assert state["paused_at"]
    assert client.post("/api/v1/systems/wms/pause", json={"reason": "again"}).status_code == 409
    assert client.post("/api/v1/systems/wms/resume", json={}).status_code == 200
    assert client.post("/api/v1/systems/nothing/pause", json={"reason": "x"}).status_code == 404


def test_a_comparison_is_asked_for(url: str) -> None:
    client = signed_in(url, "olga")
    assert client.post("/api/v1/comparisons/stock-three-way/runs").status_code == 202
    assert client.post("/api/v1/comparisons/nothing/runs").status_code == 404


def test_an_incident_is_acknowledged_once(url: str, ids: dict[str, str]) -> None:
    client = signed_in(url, "olga")
    assert client.post(f"/api/v1/incidents/{ids['incident']}/acknowledge").status_code == 200
    assert client.get(f"/api/v1/incidents/{ids['incident']}").json()["incident"]["acknowledged_by"] == "olga"


def test_a_retry_policy_is_relaxed_by_one_and_approved_by_two(plane: Plane, url: str) -> None:
    ada, ben, wim = (signed_in(url, name) for name in ("ada", "ben", "wim"))
    policy = ada.get("/api/v1/policies/RetryPolicy/default").json()["policy"]
    document = {**policy["document"], "spec": {**policy["document"]["spec"], "cap": "7m"}}
    asked = {"kind": "RetryPolicy", "name": "default", "document": document, "title": "Wait longer", "reason": "peak"}
    made = ada.post("/api/v1/change-requests", json=asked)
    assert made.status_code == 201, made.text
    request = f"/api/v1/change-requests/{made.json()['id']}"
    assert ada.post(f"{request}/submit").json()["state"] == "in_review"
    assert ada.post(f"{request}/vote", json={"decision": "approve"}).status_code == 403
    assert ada.post(f"{request}/apply").status_code == 409
    assert ben.post(f"{request}/vote", json={"decision": "approve"}).json()["state"] == "in_review"
    shown = ada.get(request).json()
    assert (shown["risk"]["relaxes"], shown["risk"]["needed"], shown["risk"]["approvers"]) == (True, 2, ["ben"])
    assert shown["risk"]["missing"] == "1 approval more, one of them from ecommerce or store-ops or warehouse-ops"
    assert [(one["path"], one["base"], one["mine"], one["changed"]) for one in shown["fields"]] == [
        ("spec.cap", "5m", "7m", "mine")
    ]
    assert wim.post(f"{request}/vote", json={"decision": "approve"}).json()["state"] == "approved"
    assert ben.post(f"{request}/apply").json()["state"] == "effective"
    assert ada.get("/api/v1/policies/RetryPolicy/default").json()["policy"]["document"]["spec"]["cap"] == "7m"
    assert plane.registry.snapshot().retry_policies["default"].spec.cap.total_seconds() == 420
    assert ada.get(request).json()["votes"][0]["voter"] == "ben"


def test_a_bad_document_is_refused_with_its_place(url: str) -> None:
    asked = {"kind": "RetryPolicy", "name": "default", "document": {"kind": "RetryPolicy"}, "title": "x"}
    answer = signed_in(url, "ada").post("/api/v1/change-requests", json=asked)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:trueup:policy"


def signature(body: bytes) -> dict[str, str]:
    """Shopify's way to sign a webhook."""
    made = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    return {"X-Shopify-Hmac-Sha256": made, "X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "w-1",
            "X-Shopify-Event-Id": "e-1"}  # fmt: skip


def test_a_signed_webhook_is_acknowledged_once_it_is_committed(plane: Plane, nobody: httpx.Client) -> None:
    body = b'{"id": 1, "name": "#9001"}'
    first, again = (nobody.post("/hooks/shop", content=body, headers=signature(body)) for _ in range(2))
    assert (first.status_code, first.json()["new"]) == (200, True)
    assert (again.status_code, again.json()["new"]) == (200, False)
    with plane.store.read() as conn:
        kept = (
            conn.execute(select(t.intake.c.body).where(t.intake.c.system == "shop", t.intake.c.body == body))
            .scalars()
            .all()
        )
    assert kept == [body]


def test_a_forged_webhook_leaves_nothing_behind(plane: Plane, nobody: httpx.Client) -> None:
    def stored() -> int:
        with plane.store.read() as conn:
            return int(conn.execute(select(func.count()).select_from(t.intake)).scalar_one())

    before = stored()
    assert nobody.post("/hooks/shop", content=b"{}", headers=signature(b"other")).status_code == 401
    assert nobody.post("/hooks/shop", content=b"{}").status_code == 401
    assert stored() == before


@pytest.mark.parametrize(
    "sent", [{}, signature(b"other"), {"X-Shiphero-Hmac-Sha256": "x", "Webhook-Signature": "v1,x"}]
)
def test_webhooks_tell_a_stranger_not_which_systems_there_are(nobody: httpx.Client, sent: dict[str, str]) -> None:
    """The shop calls us, the ERP and the tills do not, nothing has the last names, and to all who call unsigned it looks the same."""

    def told(name: str) -> tuple[int, str, list[str]]:
        answer = nobody.post(f"/hooks/{name}", content=b"{}", headers=sent)
        return answer.status_code, answer.text, sorted(set(answer.headers) - {"date"})

    with capture_logs() as said:
        found = {name: told(name) for name in ("shop", "erp", "tills", "nothing", "SHOP", "%00", "x" * 300)}
    assert found == dict.fromkeys(found, found["nothing"])
    assert (found["shop"][0], "shop" in found["shop"][1].lower()) == (401, False)
    reasons = [one["error"] for one in said if one["event"] == "a webhook was refused"]
    assert "X-Shopify-Hmac-Sha256 does not match" in reasons[0]
    assert "receives no webhooks" in reasons[1]
    assert "no system 'nothing'" in reasons[3]


def test_what_is_wrong_inside_is_told_to_no_stranger(tmp_path: Path) -> None:
    """Neither where the secrets lie and what they are called, nor where the keys are; the sender comes again, and the log says why."""
    body = b'{"id": 1, "email": "anna@example.org"}'

    def refused(missing: str) -> None:
        with capture_logs() as said:
            answer = stranger.post("/hooks/shop", content=body, headers=signature(body))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), answer.text
        assert not [word for word in ("secret", "keys", str(tmp_path)) if word in answer.text]
        assert [one["log_level"] for one in said if missing in one.get("error", "")] == ["warning"]

    with a_plane(tmp_path) as plane, served(plane) as url, httpx.Client(base_url=url, trust_env=False) as stranger:
        refused("shop_access_token")
        plane.settings.secrets.mkdir(parents=True, exist_ok=True)
        for name in ("shop_webhook_secret", "shop_access_token"):
            (plane.settings.secrets / name).write_text(SECRET)
        (tmp_path / "seal-keys.json").rename(tmp_path / "aside")
        refused("seal-keys.json")
        (tmp_path / "aside").rename(tmp_path / "seal-keys.json")
        assert stranger.post("/hooks/shop", content=body, headers=signature(body)).status_code == 200


def test_a_body_beyond_the_limit_is_refused(nobody: httpx.Client) -> None:
    assert nobody.post("/hooks/shop", content=b"x" * (2 * 1024 * 1024 + 1)).status_code == 413


def test_when_the_database_is_locked_a_webhook_is_asked_to_come_again(plane: Plane, nobody: httpx.Client) -> None:
    with plane.store.engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        answer = nobody.post("/hooks/shop", content=b"{1}", headers=signature(b"{1}"), timeout=30)
        holder.rollback()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "nothing was stored" in answer.json()["detail"]


def test_behind_tls_the_browser_is_told_to_come_by_nothing_else(plane: Plane) -> None:
    client = create_app(plane, mounts=[]).test_client()
    assert "max-age" in client.get("/healthz", base_url="https://trueup.example").headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in client.get("/healthz", base_url="http://trueup.example").headers


def test_what_somebody_was_refused_is_an_action_with_a_name_once_a_minute(plane: Plane, url: str) -> None:
    vic = signed_in(url, "vic")
    for _ in range(3):
        assert vic.post("/api/v1/accounts/ada/disable").status_code == 403
    with plane.store.read() as conn:
        mine = (t.action.c.actor == "vic") & (t.action.c.action == "access.refuse")
        found = conn.execute(select(t.action.c.subject, t.action.c.reason).where(mine)).all()
    assert len(found) == 1
