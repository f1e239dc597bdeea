"""The frame holds: what lies at the top, what the lock names, what is registered, what the docs say."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from controlplane.settings import REMEDIES, Settings

ROOT = Path(__file__).parents[1]
WINGS = ("controlplane", "dashboards", "probes", "rules")
TOP = {
    *WINGS, "tests", "benchmarks", "docs", "CHANGELOG.md", "Dockerfile", "LICENSE", "Makefile", "README.md",
    "docker-compose.yml", "pyproject.toml", "requirements.lock",
}  # fmt: skip
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
FOREIGN = re.compile(
    r"""(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/   # a folder of some machine
      | (?:files\.)?python(?:hosted|)\.org/simple | pypi\.org/simple | registry\.npmjs\.org | proxy\.golang\.org
      | --(?:extra-)?index-url\s+\S | --find-links\s+\S""",
    re.VERBOSE,
)
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")


def committed() -> list[Path]:
    """Return every file under version control."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def packages() -> list[Path]:
    """Return every package folder of the wings."""
    found = {path.parent for path in committed() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in WINGS}
    return sorted(folder for folder in found if "migrations" not in folder.parts)


def test_the_top_level_holds_the_house_and_nothing_else() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in committed()}
    assert {name for name in top if not name.startswith(".")} <= TOP
    assert {"README.md", "CHANGELOG.md", "LICENSE", *WINGS} <= top


def test_the_lock_names_no_host_and_pins_every_line() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+!]+", line) for line in lines)


def test_every_direct_dependency_is_locked_at_a_version_it_allows() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    locked = dict(line.split("==") for line in LOCK.splitlines() if "==" in line)
    asked = [*PROJECT["dependencies"], *(line for group in PROJECT["optional-dependencies"].values() for line in group)]
    for requirement in map(Requirement, asked):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not locked; run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}; run `make lock`"


def test_nothing_committed_names_a_machines_folders_or_a_registrys_host() -> None:
    guilty = []
    for path in committed():
        if path.suffix in {".png", ".parquet", ".ico", ".woff2"} or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if FOREIGN.search(line):
                guilty.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert guilty == []


@pytest.mark.parametrize(
    ("family", "name", "place"),
    [(family, name, place) for family, points in PROJECT["entry-points"].items() for name, place in points.items()],
)
def test_every_plugin_that_is_registered_can_be_loaded(family: str, name: str, place: str) -> None:
    module, _, attribute = place.partition(":")
    assert hasattr(import_module(module), attribute), f"{family}: {name} = {place}"


def test_the_families_of_plugins_are_the_ones_that_are_looked_for() -> None:
    from typing import get_args

    from controlplane.plugins import Family

    assert {f"trueup.{family}" for family in get_args(Family)} == set(PROJECT["entry-points"])


def test_the_settings_page_lists_every_setting_with_its_default_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(TRUEUP_\w+)` \| (.*?) ?\| (.+) \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )
    expected = [
        (f"TRUEUP_{name.upper()}", f"`{field.default}`" if field.default != "" else "", field.description)
        for name, field in Settings.model_fields.items()
    ]
    assert [(name, default.strip(), text) for name, default, text in rows] == expected


def test_the_readme_names_only_settings_that_there_are() -> None:
    named = set(re.findall(r"TRUEUP_[A-Z_]+", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= {f"TRUEUP_{name.upper()}" for name in Settings.model_fields}


def test_every_setting_that_can_be_wrong_has_a_remedy() -> None:
    assert set(REMEDIES) == set(Settings.model_fields), "a setting is refused without saying what it takes"


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [one or other for one, other in LINK.findall(text)]
    local = [link.split("#")[0] for link in links if "://" not in link and not link.startswith(("#", "mailto:"))]
    assert [link for link in local if link and not (page.parent / link).exists()] == []


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted((ROOT / "docs").glob("*.md")) if f"docs/{page.name}" not in text] == []


@pytest.mark.parametrize("folder", packages(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_room_says_what_it_is_for(folder: Path) -> None:
    init = folder / "__init__.py"
    assert init.is_file(), f"{folder.relative_to(ROOT)} has modules and is no package; give it an __init__.py"
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), f"{init.relative_to(ROOT)} has no docstring"


def test_the_order_of_the_rooms_in_the_docs_is_the_one_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    text = re.sub(r"\s+", " ", (ROOT / "docs/house.md").read_text(encoding="utf-8"))
    for contract in contracts:
        if "containers" in contract:
            assert " > ".join(contract["layers"]) in text, contract["name"]


def test_every_room_of_the_plane_is_on_the_map() -> None:
    text = (ROOT / "docs/house.md").read_text(encoding="utf-8")
    rooms = [folder.name for folder in packages() if folder.parent == ROOT / "controlplane"]
    assert [room for room in rooms if f"`{room}/`" not in text] == []
