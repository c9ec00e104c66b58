"""Features can be switched off, deleted and added: everything else goes on working."""

import json
import os
import shutil
import subprocess
import sys
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
    "/console/endpoints/fraud/card": 200,
    "/console/endpoints.csv": 200,
    "delete": 200,
    "/metrics": 200,
    "/healthz": 200,
    "ListEndpoints": 200,
}
STATUS, LIST, PAGE = "/tidegate/v1/endpoints/fraud", "/console", "/console/endpoints/fraud"
CARD, FILE = f"{PAGE}/card", "/console/endpoints.csv"
PARTS = {
    "access": ((LIST, 'href="/console/audit"'), (LIST, 'href="/console/users"')),
    "asynchronous": (("protocol", "partial"),),
    "autoscaling": ((STATUS, '"scaling"'), (PAGE, 'data-part="scaling"'), ("metrics", "tidegate_scaling_desired")),
    "batch": ((LIST, 'href="/console/jobs"'),),
    "cost": ((LIST, "Cost so far"), (PAGE, "Cost so far"), (CARD, "<h2>Cost</h2>"), (FILE, "cost_dollars")),
    "drift": ((PAGE, 'href="/console/endpoints/fraud/drift"'),),
    "evidence": ((PAGE, 'data-part="evidence"'), (CARD, "Evidence of the last rollout")),
    "planner": ((LIST, 'href="/console/overview"'), (LIST, 'href="/console/planner"')),
    "tracing": (("metrics", "tidegate_trace_spans_exported_total"),),
}
"""What features add to the core, and where it is to be seen."""


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


@pytest.mark.slow
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
    for section in feature.sections:
        place = section.key.replace("alarms.", "alarms.one.")
        assert f"{place}: the feature {name} is switched off" in found[f"section {section.key}"]
    commands = {entry.name for entry in feature.commands}
    assert commands.isdisjoint(found["commands"])
    assert [part for one in off for part in PARTS.get(one, ()) if part[1] in found["shown"][part[0]]] == []
    kept = [part for one in PARTS.keys() - off for part in PARTS[one]]
    assert [part for part in kept if part[1] not in found["shown"][part[0]]] == []


def test_the_pages_to_learn_by_work_without_the_lessons() -> None:
    plan = "planner?example=payroll-fraud"
    names = [plan, plan.replace("?", "/spec?"), "overview", "flowchart", "architectures", "targets", "compute"]
    asked = [["GET", f"/console/{name}"] for name in [*names, "rolling", "rehearse", "summary"]]
    found = smoke(ROOT / "src", asked, TIDEGATE_FEATURES="-lessons")
    assert [(path, found[f"GET {path}"][0]) for _, path in asked] == [(path, 200) for _, path in asked]
    assert found["GET /console/planner/spec?example=payroll-fraud"][1].count("\nendpoint: payroll-fraud\n") == 1
    assert not any("/console/lessons" in found[f"GET {path}"][1] for _, path in asked)


def test_no_page_leads_to_the_planner_while_it_is_off() -> None:
    asked = [["GET", f"/console/{name}"] for name in ("compute", "rehearse", "summary", "lessons", "lessons/lab")]
    found = smoke(ROOT / "src", asked, TIDEGATE_FEATURES="-planner")
    shown = [(path, *found[f"GET {path}"]) for _, path in asked]
    assert [(path, status) for path, status, _ in shown] == [(path, 200) for _, path in asked]
    assert not any(
        f"/console/{name}" in text for _, _, text in shown for name in ("planner", "targets", "overview")
    )


@pytest.mark.parametrize(
    ("switches", "words", "said"),
    [
        (
            "-drift",
            ("drift", "check", "fraud"),
            "tidegate: drift: the feature drift is switched off (TIDEGATE_FEATURES)\n",
        ),
        (
            "-monitor",
            ("drift", "schedule", "show", "fraud"),
            "tidegate: drift schedule: the feature monitor is switched off (TIDEGATE_FEATURES)\n",
        ),
        (
            "-evidence",
            ("rollout", "evidence", "show", "fraud"),
            "tidegate: rollout evidence: the feature evidence is switched off (TIDEGATE_FEATURES)\n",
        ),
        (
            "-shadow",
            ("compare", "--shadow", "fraud"),
            "tidegate: --shadow: the feature shadow is switched off (TIDEGATE_FEATURES)\n",
        ),
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


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTALLED)
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
from tidegate.domain.feature import CommandEntry, Feature, Loop, Menu, NativeRoute, PageLink, Section

FEATURE = Feature(
    name="greeting",
    summary="Greets.",
    needs=("cost",),
    sections=(
        Section("greeting", ".spec:GreetingSpec", ".spec:build", ".spec:render", addresses=("card",)),
    ),
    routes=(NativeRoute("GET", "/greeting", ".code:greet", Access.READ),),
    pages={"/console/greeting": ("GET",)},
    links=(PageLink(Menu.TOP, 90, "/console/greeting", "Greeting"),),
    page_routes=".code:page_routes",
    hooks={
        "endpoint_cards": ".code:make_cards",
        "endpoint_columns": ".code:make_columns",
        "metrics": ".code:METRICS",
    },
    commands=(CommandEntry("greet", ".code:command", "Greet somebody.", "Look"),),
    loops=(Loop(".code:make_loop", 5.0),),
)
"""
CODE = '''
from starlette.responses import JSONResponse, PlainTextResponse

from tidegate.console.endpoint_card import EndpointCard
from tidegate.console.list_query import ListColumn
from tidegate.compose.background import Worker
from tidegate.domain.access import Access
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.service.prometheus import MetricSource


class Card(EndpointCard):
    name, title = "greeting", "Greeting"

    async def read(self, gateway, found, reader):
        return {"name": reader.endpoint.name}


def make_cards(context):
    return [Card()]


class Column(ListColumn):
    key, title, exported = "greeting", "Greeting", "greeting"

    async def read(self, endpoint, used):
        return 1.0, "hello " + endpoint.name


def make_columns(context):
    return [Column()]


class Metrics(MetricSource):
    families = (("greetings_total", "counter", "Greetings"),)


METRICS = Metrics()


async def greet(gateway, request):
    return JSONResponse({"greeting": "hello"})


def page_routes(context):
    async def show(request):
        return PlainTextResponse("a page that greets")

    return [GuardedRoute(context.gateway, "/console/greeting", show, Access.READ)]


def command():
    """Greet somebody."""
    print("hello")


class GreetingLoop(Worker):
    async def turn(self):
        pass


def make_loop(services):
    return GreetingLoop()
'''
SECTION = '''
from msgspec import Struct

from tidegate.spec.problem import SpecError


class GreetingSpec(Struct, forbid_unknown_fields=True):
    """Greets in a language."""

    language: str = "en"
    card: str = ""


def build(given, draft):
    if given.language not in ("en", "de"):
        raise SpecError(("greeting", "language"), f"{given.language!r} of {draft.desired.endpoint} is no language")
    return given


def render(deployed):
    given = deployed.sections["greeting"]
    return {"language": given.language, "card": given.card}
'''
ASK_SECTION = """
import datetime, json, os, sys
from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.spec.explain import explain_key
from tidegate.spec.render import render

TEXT = 'endpoint: fraud\\nmodel: {image: tidegate/xgboost, data: m.tar.gz}\\ngreeting: {card: card.txt}\\n'
NOW = datetime.datetime(2026, 1, 1)


def refusal(text):
    try:
        loaded = spec.load(text, "s.yaml")
        loaded.wish(NOW, spec.resolve(loaded.data, "/srv"))
    except Invalid as error:
        return str(error)


found = {
    "misspelt": refusal(TEXT.replace("greeting", "greting")),
    "unknown": refusal(TEXT.replace("card:", "cart:")),
    "refused": refusal(TEXT.replace("card: card.txt", "language: xx")),
    "whole": refusal(TEXT),
}
if not os.environ.get("TIDEGATE_FEATURES"):
    loaded = spec.load(TEXT, "s.yaml")
    found["rendered"] = render(loaded.wish(NOW, spec.resolve(loaded.data, "/srv")))["greeting"]
    found["explained"] = explain_key("greeting")[0].description
    found["schema"] = "greeting" in spec.schema()["$defs"]["SpecFile"]["properties"]
print(json.dumps(found))
"""


def test_a_distribution_of_its_own_adds_a_feature(tmp_path: Path) -> None:
    """By the guide in CONTRIBUTING.md alone."""
    package, packed = tmp_path / "tidegate_greeting", tmp_path / "tidegate_greeting-1.0.dist-info"
    package.mkdir()
    packed.mkdir()
    (package / "__init__.py").write_text("")
    (package / "feature.py").write_text(MANIFEST)
    (package / "code.py").write_text(CODE)
    (package / "spec.py").write_text(SECTION)
    (package / "templates").mkdir()
    (package / "templates" / "greeting_card.html").write_text(
        "{% macro card(it) %}a card that greets {{ it.name }}{% endmacro %}"
    )
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: tidegate-greeting\nVersion: 1.0\n")
    (packed / "entry_points.txt").write_text("[tidegate.features]\ngreeting = tidegate_greeting.feature:FEATURE\n")
    asked = [["GET", "/tidegate/v1/greeting"], ["GET", "/console/greeting"]]
    found = smoke(ROOT / "src", asked, PYTHONPATH=str(tmp_path))
    assert found["GET /tidegate/v1/greeting"] == [200, '{"greeting":"hello"}']
    assert found["GET /console/greeting"] == [200, "a page that greets"]
    assert {key: found[key] for key in WORKS} == WORKS
    assert 'href="/console/greeting"' in found["shown"][LIST] and "hello fraud" in found["shown"][LIST]
    assert "a card that greets fraud" in found["shown"][PAGE]
    assert ",greeting," in found["shown"][FILE] and "greetings_total" in found["shown"]["metrics"]
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
    assert ask_section(path) == {
        "misspelt": "s.yaml:3: unknown key 'greting', did you mean 'greeting'?",
        "unknown": "s.yaml:3: greeting: unknown key 'cart', did you mean 'card'?",
        "refused": "s.yaml:3: greeting.language: 'xx' of fraud is no language",
        "whole": None,
        "rendered": {"language": "en", "card": "file:///srv/card.txt"},
        "explained": "Greets in a language.",
        "schema": True,
    }
    off = ask_section(path, TIDEGATE_FEATURES="-greeting")
    assert off["whole"] == "s.yaml:3: greeting: the feature greeting is switched off (TIDEGATE_FEATURES)"


def ask_section(path: str, **environment: str) -> dict[str, Any]:
    """How spec files with the section of the feature are read."""
    done = subprocess.run(
        [sys.executable, "-c", ASK_SECTION],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
