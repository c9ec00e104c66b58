"""A task may do what the server trusts its model with, and nothing that the model alone asks for; it keeps the
server's limits."""

import json
from dataclasses import replace

import msgspec
import pytest

from tests.unit.targets.ecs.test_target import OPTIONS, spec
from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.ecs.options import EcsOptions
from tidegate.targets.ecs.task_definition import start_file


def asking() -> FleetSpec:
    fleet = spec()
    container = ContainerDefinition(
        "tidegate/sklearn", "s3://models/fraud.tar.gz", {"TIDEGATE_TRUST": "pickle", "OMP_NUM_THREADS": "2"}
    )
    model = replace(fleet.variant.model, containers=(container,))
    return replace(fleet, variant=replace(fleet.variant, model=model))


@pytest.mark.parametrize(("trust", "granted"), [(frozenset(), None), (frozenset({"pickle"}), "pickle")])
def test_task_is_trusted_with_what_the_server_allows(trust: frozenset[str], granted: str | None) -> None:
    start = json.loads(start_file(OPTIONS, asking(), ImageTable(), Settings(trust=trust)))
    environment = start["containers"][0]["environment"]
    assert environment.pop("TIDEGATE_TRUST", None) == granted
    assert environment == {"OMP_NUM_THREADS": "2"}


@pytest.mark.parametrize(
    ("asked", "idle", "seconds"), [(60, 60, 55), (10, 60, 10), (300, 400, 300), (300, 60, 55)]
)
def test_task_answers_within_the_servers_limit_and_before_the_load_balancer_gives_up(
    asked: int, idle: int, seconds: float
) -> None:
    options, settings = replace_options(idle), Settings(invocation_timeout=asked, max_body=1000, stream_timeout=70)
    start = json.loads(start_file(options, asking(), ImageTable(), settings))
    assert start["invocation_timeout"] == seconds
    assert (start["max_body"], start["stream_timeout"]) == (1000, 70)


def test_server_with_keys_starts_no_task_that_checks_none_unless_it_is_said_to() -> None:
    settings = Settings(access_keys={"KEY": "a-secret-of-a-client"})
    with pytest.raises(TargetRefused, match="allow_unsigned: true") as refused:
        start_file(OPTIONS, asking(), ImageTable(), settings)
    assert "a-secret" not in str(refused.value)
    start = start_file(msgspec.structs.replace(OPTIONS, allow_unsigned=True), asking(), ImageTable(), settings)
    assert "a-secret" not in start


def replace_options(idle: int) -> EcsOptions:
    return msgspec.structs.replace(OPTIONS, idle_timeout=idle)
