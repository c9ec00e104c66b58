"""Features can be switched off, deleted and added: everything else goes on working."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tidegate.host.features import find_installed

ROOT = Path(__file__).parents[2]
INSTALLED = find_installed()
WORKS = {
    "deploy": 200,
    "/tidegate/v1/endpoints/fraud": 200,
    "/console": 200,
    "/console/endpoints/fraud": 200,
    "/metrics": 200,
    "/healthz": 200,
    "ListEndpoints": 200,
}
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LEFT = next(one["ignore_imports"] for one in CONTRACTS if one["name"] == "The core imports no feature")
"""Imports of features by the core that are left: these features cannot be deleted yet."""


def smoke(source: Path, asked: list[list[str]] | None = None, **environment: str) -> dict[str, Any]:
    """What the smoke questions were answered by the code in ``source``."""
    path = os.pathsep.join((str(source), str(ROOT), *environment.pop("PYTHONPATH", "").split(os.pathsep)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.features_smoke", json.dumps(asked or [])],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def dependents(name: str) -> set[str]:
    """A feature, and those that need it."""
    found = {name}
    while more := {other for other, one in INSTALLED.items() if found.intersection(one.feature.needs)} - found:
        found |= more
    return found


@pytest.mark.parametrize("name", INSTALLED)
def test_everything_else_works_with_a_feature_switched_off(name: str) -> None:
    feature, off = INSTALLED[name].feature, dependents(name)
    asked = [[route.method, route.path.replace("{name}", "fraud")] for route in feature.routes]
    asked = [[method, f"/tidegate/v1{path}"] for method, path in asked if "{" not in path]
    pages = ((path, methods) for path, methods in feature.pages.items() if path.count("{") < 2)
    asked += [[methods[0], path.replace("{name}", "fraud")] for path, methods in pages]
    found = smoke(ROOT / "src", asked, TIDEGATE_FEATURES=f"-{name}")
    assert {key: found[key] for key in WORKS} == WORKS
    assert set(map(str, found["on"])) == set(INSTALLED) - off
    for method, path in asked:
        status, text = found[f"{method} {path}"]
        assert (status, f"the feature {name} is switched off" in text) == (404, True), (method, path, status, text)
    for members in feature.members.values():
        assert all(f"{one}: the feature {name} is switched off" in found[one] for one in members)
    commands = {entry.name for entry in feature.commands}
    assert commands.isdisjoint(found["commands"])


@pytest.mark.parametrize(
    ("switches", "words", "said"),
    [
        ("-drift", ("drift", "fraud"), "tidegate: drift: the feature drift is switched off (TIDEGATE_FEATURES)\n"),
        ("-bogus", ("--help",), "tidegate: TIDEGATE_FEATURES: there is no feature 'bogus'; there are access, "),
    ],
)
def test_a_command_says_in_one_line_why_it_is_not_there(switches: str, words: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from tidegate.cli import main; main()", *words],
        env=os.environ | {"TIDEGATE_FEATURES": switches},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(said)


DELETABLE = sorted(
    name
    for name in INSTALLED
    if not any(f"-> tidegate.features.{one}" in line for one in dependents(name) for line in LEFT)
)


def test_some_features_can_be_deleted() -> None:
    assert len(DELETABLE) >= 5


@pytest.mark.parametrize("name", DELETABLE)
def test_the_rest_works_with_the_folder_of_a_feature_deleted(tmp_path: Path, name: str) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    for one in dependents(name):
        shutil.rmtree(source / "tidegate" / "features" / one)
    found = smoke(source)
    assert {key: found[key] for key in WORKS} == WORKS
    assert set(map(str, found["on"])) == set(INSTALLED) - dependents(name)


MANIFEST = """
from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute

FEATURE = Feature(
    name="greeting",
    summary="Greets.",
    needs=("cost",),
    routes=(NativeRoute("GET", "/greeting", ".code:greet", Access.READ),),
    pages={"/console/greeting": ("GET",)},
    page_routes=".code:page_routes",
    commands=(CommandEntry("greet", ".code:command", "Greet somebody.", "Look"),),
    loops=(Loop(".code:make_loop", 5.0),),
)
"""
CODE = '''
from starlette.responses import JSONResponse, PlainTextResponse

from tidegate.domain.access import Access
from tidegate.gateway.guarded_routes import GuardedRoute


async def greet(gateway, request):
    return JSONResponse({"greeting": "hello"})


def page_routes(context):
    async def show(request):
        return PlainTextResponse("a page that greets")

    return [GuardedRoute(context.gateway, "/console/greeting", show, Access.READ)]


def command():
    """Greet somebody."""
    print("hello")


class Loop:
    async def turn(self):
        pass


def make_loop(services):
    return Loop()
'''


def test_a_distribution_of_its_own_adds_a_feature(tmp_path: Path) -> None:
    """By the guide in CONTRIBUTING.md alone."""
    package, packed = tmp_path / "tidegate_greeting", tmp_path / "tidegate_greeting-1.0.dist-info"
    package.mkdir()
    packed.mkdir()
    (package / "__init__.py").write_text("")
    (package / "feature.py").write_text(MANIFEST)
    (package / "code.py").write_text(CODE)
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: tidegate-greeting\nVersion: 1.0\n")
    (packed / "entry_points.txt").write_text("[tidegate.features]\ngreeting = tidegate_greeting.feature:FEATURE\n")
    asked = [["GET", "/tidegate/v1/greeting"], ["GET", "/console/greeting"]]
    found = smoke(ROOT / "src", asked, PYTHONPATH=str(tmp_path))
    assert found["GET /tidegate/v1/greeting"] == [200, '{"greeting":"hello"}']
    assert found["GET /console/greeting"] == [200, "a page that greets"]
    assert {key: found[key] for key in WORKS} == WORKS
    path = os.pathsep.join((str(ROOT / "src"), str(tmp_path)))
    said = subprocess.run(
        [sys.executable, "-c", "from tidegate.cli import main; main()", "greet"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "hello\n"
    off = smoke(ROOT / "src", asked, PYTHONPATH=str(tmp_path), TIDEGATE_FEATURES="-greeting")
    assert "the feature greeting is switched off" in str(off["GET /tidegate/v1/greeting"])
