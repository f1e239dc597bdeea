"""What is shipped for running on more than one machine holds together. The images themselves are not built here."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from controlplane.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"
SECRET_NAMES = re.compile(r"PASS|TOKEN|SECRET|KEY", re.IGNORECASE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The Compose file as it is written."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


def test_the_compose_file_is_valid_against_the_compose_specification(compose: dict[str, Any]) -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema, which carries the schema of the Compose specification, is not installed")
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text(encoding="utf-8")))


def test_all_the_services_are_there_and_ours_are_built_from_the_dockerfile(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"migrate", "plane", "worker", "postgres", "rabbitmq", "prometheus", "alertmanager"}
    assert {name for name, service in services.items() if "build" in service} == {"migrate", "plane", "worker"}
    assert services["plane"]["build"] == "."
    assert (ROOT / "Dockerfile").is_file()


def test_every_service_can_be_asked_how_it_is_and_starts_after_what_it_needs_is_healthy(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    asked = {name for name, service in services.items() if service.get("healthcheck", {}).get("test")}
    assert asked == set(services) - {"migrate", "plane", "worker"}, (
        "the plane's check is in its image; the others have none"
    )
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            ended = "service_completed_successfully" if needed == "migrate" else "service_healthy"
            assert how == {"condition": ended}, f"{name} needs {needed}"
            assert needed in services


def test_no_password_is_written_down_and_none_has_a_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for variable in re.findall(r"\$\{([^}]*)\}", text):
        assert ":?" in variable, f"${{{variable}}} has to be given by whoever starts it, and say what it is"
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if SECRET_NAMES.search(name):
                assert str(value).startswith("${"), f"{name} is written down"
    assert not re.search(r"://[^:/@\s]+:[^$@\s][^@\s]*@", text), "an address holds a password"


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_variable_given_to_the_plane_is_a_setting(compose: dict[str, Any]) -> None:
    known = {f"TRUEUP_{name.upper()}" for name in Settings.model_fields}
    for name in ("migrate", "plane", "worker"):
        assert set(compose["services"][name]["environment"]) <= known
    in_image = re.findall(
        r"^\s*(?:ENV )?(TRUEUP_\w+)=", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"TRUEUP_HOME", "TRUEUP_HOST"} <= set(in_image) <= known


def test_every_file_and_volume_that_is_mounted_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = re.sub(r"\$\{[^}]*\}", "$", mount).split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_file(), f"{name} mounts {source}"
            elif source != "$":
                assert source in compose["volumes"], f"{name} mounts {source}"
        assert set(service.get("secrets", [])) <= set(compose["secrets"])


def test_the_image_runs_as_nobody_in_particular_from_locked_packages() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER trueup$", text, re.MULTILINE)
    assert "--requirement requirements.lock" in text
    copied = set(re.findall(r"^COPY (\w+) \w+$", text, re.MULTILINE))
    let_in = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    assert copied == {"rules", "controlplane", "probes", "dashboards"}
    assert copied <= let_in


@pytest.mark.parametrize("name", ["prometheus.yml", "alertmanager.yml", "rules.yml"])
def test_the_monitoring_files_are_read_as_yaml_and_say_what_they_are_for(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert isinstance(yaml.safe_load(text), dict)


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    groups = yaml.safe_load((DEPLOY / "rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in [rule for group in groups for rule in group["rules"]]:
        assert {"summary", "remedy"} <= set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize(
    ("tool", "arguments", "name"),
    [
        ("promtool", ["check", "config", "--syntax-only"], "prometheus.yml"),
        ("promtool", ["check", "rules", "--lint-fatal"], "rules.yml"),
        ("amtool", ["check-config"], "alertmanager.yml"),
    ],
)
def test_the_tools_of_prometheus_accept_the_files(tool: str, arguments: list[str], name: str) -> None:
    if (found := shutil.which(tool)) is None:
        pytest.skip(f"{tool} is not installed (apt-get install prometheus prometheus-alertmanager)")
    answer = subprocess.run([found, *arguments, str(DEPLOY / name)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_only_what_migrates_knows_the_password_of_who_owns_the_tables(compose: dict[str, Any]) -> None:
    given = {name: service.get("environment", {}) for name, service in compose["services"].items()}
    knowing = {
        name for name, values in given.items() if any("OWNER_PASSWORD" in str(value) for value in values.values())
    }
    assert knowing == {"migrate", "postgres"}
    assert "//trueup:" in given["plane"]["TRUEUP_DATABASE_URL"]
    assert "//trueup_owner:" in given["migrate"]["TRUEUP_DATABASE_OWNER_URL"]
