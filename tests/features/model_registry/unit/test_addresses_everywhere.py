"""Addresses of registries in every command and route that takes a spec or the address of a model."""

import ast
import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from tests.gateway_harness import GatewayHarness
from tests.unit.cli.stub_server import found, stub
from tidegate.cli.app import app
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import PinnedModel
from tidegate.features.batch import service as jobs
from tidegate.features.compare.inputs import choose_models
from tidegate.features.recommender.command import _find_model
from tidegate.host.features import FeatureSet, find_installed
from tidegate.settings import Settings
from tidegate.targets.registry import KINDS

SOURCE = Path(__file__).parents[4] / "src" / "tidegate"
ALIAS = "models:/fraud@champion"
OFF = "the feature model_registry is switched off (TIDEGATE_FEATURES)"
SPEC: dict[str, Any] = {"endpoint": "fraud", "model": {"data": ALIAS}, "rollout": {"strategy": "all_at_once"}}
PINNED = {**SPEC, "model": {"data": "s3://models/3/", "fingerprint": "models:/fraud/3"}}
PARSERS = ("spec.parse", "spec.parse_runnable", "spec_files.parse")
READERS = {
    **dict.fromkeys(("gateway/deployments.py", "gateway/native.py", "features/batch/native.py"), "looked up"),
    "features/rehearse/page_routes.py": "looked up",
    **dict.fromkeys(("cli/render.py", "cli/direct.py", "cli/doctor.py"), "looked up by the server"),
    **dict.fromkeys(("features/rehearse/command.py", "features/compare/inputs.py"), "looked up by the server"),
    **dict.fromkeys(("cli/deploy.py", "cli/diff.py", "cli/spec_folder.py"), "the server gets it, and looks it up"),
    "cli/artifacts.py": "reports mistakes before the server looks it up",
    "cli/validate.py": "needs no server: whether there is such a model is left to the deployment",
    "cli/init.py": "writes the address into the file",
    "features/cost/spec_cost.py": "no price depends on the model data",
    "features/rehearse/computations.py": "the route looks it up before",
    "features/planner/target_check.py": "a plan has a placeholder for the model data",
    "features/lessons/driver.py": "a lesson has model data of its own",
    **dict.fromkeys(("features/lessons/incident.py", "features/lessons/spot.py"), "simulated: no model"),
    "features/lessons/update.py": "simulated: no model",
}
"""Each module that reads a spec, and how it treats the address of a registry."""


@pytest.fixture
def switched_off(monkeypatch: pytest.MonkeyPatch) -> FeatureSet:
    """All features but that of registries."""
    installed = find_installed()
    left = FeatureSet(installed, frozenset(installed) - {"model_registry"})
    monkeypatch.setattr("tidegate.spec.sections.features", lambda: left)
    return left


def _reads_spec(path: Path) -> bool:
    called = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(ast.unparse(one).endswith((".wish", *PARSERS)) for one in called)


def test_every_reader_of_specs_is_listed() -> None:
    assert {str(one.relative_to(SOURCE)) for one in SOURCE.rglob("*.py") if _reads_spec(one)} == set(READERS)


# --- routes ---


async def look_up(address: str) -> PinnedModel:
    assert address == ALIAS
    return PinnedModel("models:/fraud/3", "s3://models/3/")


def ask(house: GatewayHarness, method: str, path: str, body: object) -> Any:
    async def work() -> Any:
        async with house.client() as client:
            answer = await client.request(method, f"http://127.0.0.1:8471/tidegate/v1{path}", json=body)
        return answer.json()

    return asyncio.run(work())


ROUTES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PUT", "/deploy", {"spec": SPEC}),
    ("POST", "/diff", {"spec": SPEC}),
    ("POST", "/checks", {"spec": SPEC}),
    ("POST", "/rehearse", {"spec": SPEC}),
    ("POST", "/promise", {"spec": SPEC, "rps": 40}),
    ("POST", "/simulate", {"spec": SPEC}),
    ("POST", "/transforms", {"spec": {**SPEC, "job": {"input": "s3://in/a", "output": "s3://out/"}}}),
    ("POST", "/transforms", {"model": ALIAS, "source": {"uri": "s3://in/a"}, "sink": {"uri": "s3://out/"}}),
)


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[row[1] for row in ROUTES])
def test_a_route_looks_the_address_up(method: str, path: str, body: dict[str, Any]) -> None:
    asked = list[str]()

    async def resolve(address: str) -> PinnedModel:
        asked.append(address)
        return await look_up(address)

    answer = ask(GatewayHarness(resolve_model=resolve), method, path, body)
    assert "error" not in answer
    assert asked == [ALIAS]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[row[1] for row in ROUTES])
def test_a_route_refuses_the_address_without_the_feature(
    method: str, path: str, body: dict[str, Any], switched_off: FeatureSet
) -> None:
    async def resolve(address: str) -> PinnedModel:
        switched_off.require_hook("resolve_model", "a model of a registry")
        raise AssertionError("the hook is off")

    assert OFF in ask(GatewayHarness(resolve_model=resolve), method, path, body)["error"]["message"]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[:-1], ids=[row[1] for row in ROUTES[:-1]])
def test_a_route_looks_up_nothing_for_a_spec_with_a_mistake(method: str, path: str, body: dict[str, Any]) -> None:
    async def resolve(address: str) -> PinnedModel:
        raise AssertionError(f"{address} was looked up")

    wrong = {**body, "spec": {**body["spec"], "rollout": {"strategy": "nonsense"}}}
    answer = ask(GatewayHarness(resolve_model=resolve), method, path, wrong)
    assert "rollout.strategy" in answer["error"]["message"]


def test_a_job_runs_the_version_that_was_found() -> None:
    house = GatewayHarness(resolve_model=look_up)
    made = ask(house, "POST", "/transforms", ROUTES[-1][2])
    job = asyncio.run(house.store.read(lambda tx: jobs.get(tx, made["job"]))).body
    (container,) = job.model.containers
    assert (container.data_url, container.fingerprint) == ("s3://models/3/", "models:/fraud/3")


def test_a_comparison_has_the_spec_with_the_version() -> None:
    assert ask(GatewayHarness(resolve_model=look_up), "POST", "/diff", {"spec": SPEC})["spec"] == PINNED


# --- commands ---


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A server that looks addresses up, in a folder with a spec. What it was asked."""
    monkeypatch.chdir(tmp_path)
    Path("fraud.yaml").write_text(json.dumps(SPEC))
    with stub(
        {"/tidegate/v1/diff": found({"spec": {**PINNED, "target": "sagemaker", "instance_type": "ml.c5.large"}})}
    ) as (url, seen):
        monkeypatch.setenv("TIDEGATE_URL", url)
        yield seen


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exception is None, done.exception
    return done.stdout


def refuse(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, Invalid), done.output
    return done.exception.message


def test_rendering_prints_the_version(server: list[dict[str, Any]]) -> None:
    image, role = "123456789012.dkr.ecr.us-east-1.amazonaws.com/tidegate:1", "arn:aws:iam::123456789012:role/r"
    options = {"region": "us-east-1", "role_arn": role, "images": {"tidegate/auto": image}}
    Path("targets.yaml").write_text(json.dumps({"sagemaker": options}))
    words = ("fraud.yaml", "--target", "sagemaker", "--targets", "targets.yaml")
    assert "s3://models/3/" in run("spec", "render", *words)
    assert [one["path"] for one in server] == ["/tidegate/v1/diff"]


def test_a_rehearsal_is_of_the_version(server: list[dict[str, Any]]) -> None:
    run("rehearse", "fraud.yaml")
    assert json.loads(server[0]["body"])["spec"] == SPEC


def note_data(wish: DesiredDeployment) -> NoReturn:
    """Refuse with the model data that a target was given."""
    raise Invalid(str(wish.models[0].containers[0].data_url))


class NotingDirect:
    def deploy(self, wish: DesiredDeployment, **_: object) -> None:
        note_data(wish)

    def diff(self, wish: DesiredDeployment) -> None:
        note_data(wish)


@pytest.mark.parametrize("command", ["deploy", "diff"])
def test_a_direct_deployment_gets_the_version(
    command: str, server: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.cli.direct._direct", lambda *_: NotingDirect())
    assert refuse("direct", command, "fraud.yaml", "--target", "sagemaker") == "s3://models/3/"


def test_the_check_of_a_target_gets_the_version(
    server: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = replace(KINDS["kubernetes"], check=lambda options, wish: note_data(wish) if wish else [])
    monkeypatch.setattr("tidegate.targets.kubernetes.kind.KIND", kind)
    assert refuse("target", "doctor", "fraud.yaml", "--target", "kubernetes") == "s3://models/3/"


def test_a_comparison_is_of_the_version(server: list[dict[str, Any]]) -> None:
    chosen = choose_models([ALIAS, "fraud.yaml"], "", "", (), Settings())
    for one in (chosen.old, chosen.new):
        assert one.model.containers[0].data_url == "s3://models/3/"
    assert len(server) == 2


def test_a_recommendation_is_for_the_version(server: list[dict[str, Any]]) -> None:
    assert _find_model(ALIAS) == {"data": "s3://models/3/"}


@pytest.mark.parametrize(
    "words", [("spec", "validate", "fraud.yaml"), ("cost", "estimate", "fraud.yaml", "--rps", "1")]
)
def test_a_command_that_needs_no_server_takes_the_address(
    words: tuple[str, ...], server: list[dict[str, Any]]
) -> None:
    run(*words)
    assert server == []


def test_a_first_spec_has_the_address(server: list[dict[str, Any]]) -> None:
    run("spec", "init", ALIAS, "--yes", "--out", "made.yaml")
    assert f"data: {ALIAS}\n" in Path("made.yaml").read_text()
    run("spec", "validate", "made.yaml")


@pytest.mark.parametrize(
    "words",
    [
        ("deploy", "fraud.yaml"),
        ("apply", "--file", "fraud.yaml"),
        ("spec", "diff", "fraud.yaml"),
        ("spec", "validate", "fraud.yaml"),
        ("spec", "render", "fraud.yaml", "--target", "kubernetes"),
        ("spec", "init", ALIAS, "--yes", "--out", "made.yaml"),
        ("direct", "deploy", "fraud.yaml", "--target", "sagemaker"),
        ("direct", "diff", "fraud.yaml", "--target", "sagemaker"),
        ("target", "doctor", "fraud.yaml", "--target", "kubernetes"),
        ("rehearse", "fraud.yaml"),
        ("cost", "estimate", "fraud.yaml", "--rps", "1"),
        ("compare", ALIAS, "fraud.yaml", "--rows", "rows.csv"),
        ("recommend", "--model", ALIAS, "--sample", "rows.csv"),
    ],
    ids=" ".join,
)
def test_a_command_refuses_the_address_without_the_feature(
    words: tuple[str, ...], server: list[dict[str, Any]], switched_off: FeatureSet
) -> None:
    Path("rows.csv").write_text("a,b\n1,2\n")
    assert f"model.data: {ALIAS}: {OFF}" in refuse(*words)
    assert server == []


def test_a_folder_is_compared_only_with_the_feature(
    server: list[dict[str, Any]], switched_off: FeatureSet
) -> None:
    assert f"model.data: {ALIAS}: {OFF}" in CliRunner().invoke(app, ("diff", "--file", "fraud.yaml")).output
