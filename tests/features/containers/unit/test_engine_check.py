"""What ``target doctor`` finds of the container engine."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.features.containers.machine_check import (
    LEAST_SPACE,
    EngineInfo,
    check_engine,
    judge_engine,
    judge_space,
)
from tidegate.ports.target import CheckFinding, Level
from tidegate.settings import Settings

IMAGE = ContainerDefinition("ghcr.example/fraud", upstream=Upstream(port=8000))
SERVICE = ContainerDefinition("tidegate/service", upstream=Upstream(url="http://fraud.internal"))
ROOTLESS = EngineInfo("5.4", "true", "v2", "/usr/bin/pasta", "/home/me")
NOTHING_ALLOWED, ALLOWED = Settings(), Settings(containers=("*",))


def levels(findings: Sequence[CheckFinding]) -> list[Level]:
    return [one.level for one in findings]


def test_a_rootless_engine_needs_a_network_and_limits_memory_with_new_control_groups() -> None:
    assert levels(judge_engine("podman", ROOTLESS)) == [Level.OK]
    [found] = judge_engine("podman", ROOTLESS._replace(network=""))
    assert (found.level, found.remedy) == (Level.ERROR, "install passt")
    assert levels(judge_engine("podman", ROOTLESS._replace(cgroups="v1"))) == [Level.OK, Level.WARNING]
    assert levels(judge_engine("podman", EngineInfo("5.4", "false", "v1", "", "/"))) == [Level.OK]


def test_little_space_is_a_warning_that_names_what_frees_some() -> None:
    assert judge_space("/store", LEAST_SPACE).level is Level.OK
    found = judge_space("/store", LEAST_SPACE - 1)
    assert found.level is Level.WARNING and "image prune" in found.remedy


async def test_no_engine_is_missed_where_no_image_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await check_engine([SERVICE], NOTHING_ALLOWED) == []
    for containers, settings in (([IMAGE], NOTHING_ALLOWED), ([], ALLOWED)):
        [found] = await check_engine(containers, settings)
        assert found.level is Level.ERROR
        assert "install the package podman" in found.message


async def test_an_engine_that_does_not_work_for_this_user_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\necho 'Error: cannot find newuidmap' >&2\nexit 125\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    [found] = await check_engine([], ALLOWED)
    assert found.level is Level.ERROR
    assert "podman does not work for the server's user: cannot find newuidmap" in found.message
    assert "uidmap" in found.remedy


async def test_an_engine_that_works_has_space_for_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\necho '5.4.2|true|v2|/usr/bin/pasta|{tmp_path}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine, space = await check_engine([], ALLOWED)
    assert (engine.level, engine.message) == (Level.OK, "podman 5.4.2, rootless")
    assert space.what == "space for images" and str(tmp_path) in space.message
