"""Checks for ``target doctor`` whether this machine can run container images."""

import shutil
from collections.abc import Sequence
from typing import NamedTuple

from tidegate.domain.errors import Invalid, Transient
from tidegate.domain.memory_sizes import format_bytes
from tidegate.domain.registry import ContainerDefinition
from tidegate.features.containers.worker.engine_command import find_engine
from tidegate.ports.target import CheckFinding, Level
from tidegate.settings import Settings

LEAST_SPACE = 4 << 30
"""Bytes: a serving image with its libraries unpacks to several GiB."""
PODMAN = (
    "{{.Version.Version}}|{{.Host.Security.Rootless}}|{{.Host.CgroupsVersion}}|{{.Host.Pasta.Executable}}"
    "{{.Host.Slirp4NetNS.Executable}}|{{.Store.GraphRoot}}"
)
DOCKER = "{{.ServerVersion}}|false|{{.CgroupVersion}}||{{.DockerRootDir}}"
_REMEDIES = {
    "podman": "without root it needs Debian's packages uidmap and passt, and a range for the user in /etc/subuid",
    "docker": "its daemon has to run, and the server's user has to be in the group docker",
}


class EngineInfo(NamedTuple):
    """An engine's own description. ``network``: the program that connects rootless containers; empty: none."""

    version: str
    rootless: str
    cgroups: str
    network: str
    folder: str


async def check_engine(containers: Sequence[ContainerDefinition], settings: Settings) -> list[CheckFinding]:
    """Check the engine if images may run here, or one of the containers is such an image."""
    if not settings.containers and not any(one.upstream and not one.upstream.url for one in containers):
        return []
    try:
        engine = find_engine()
        told = await engine.run("info", "--format", PODMAN if engine.is_podman else DOCKER)
    except (Invalid, Transient) as error:
        return [_judge(Level.ERROR, error.message)]
    parts = told.output.split("|")
    if told.code != 0 or len(parts) != len(EngineInfo._fields):
        message = f"{engine.name} does not work for the server's user: {told.why}"
        return [_judge(Level.ERROR, message, _REMEDIES[engine.name])]
    info = EngineInfo(*parts)
    try:
        free = shutil.disk_usage(info.folder).free
    except OSError:  # of a daemon elsewhere
        return judge_engine(engine.name, info)
    return [*judge_engine(engine.name, info), judge_space(info.folder, free)]


def judge_engine(name: str, info: EngineInfo) -> list[CheckFinding]:
    if info.rootless != "true":
        return [_judge(Level.OK, f"{name} {info.version}")]
    found = [_judge(Level.OK, f"{name} {info.version}, rootless")]
    if not info.network:
        found = [_judge(Level.ERROR, f"{name} has no network for rootless containers", "install passt")]
    if info.cgroups not in ("2", "v2"):
        message = "memory limits of rootless containers need control groups of version 2"
        found.append(_judge(Level.WARNING, message, "boot with systemd.unified_cgroup_hierarchy=1"))
    return found


def judge_space(folder: str, free: int) -> CheckFinding:
    message = f"{format_bytes(free)} free in {folder}"
    if free >= LEAST_SPACE:
        return CheckFinding("space for images", Level.OK, message)
    remedy = "remove images that are not needed: podman (or docker) image prune"
    return CheckFinding("space for images", Level.WARNING, message, remedy)


def _judge(level: Level, message: str, remedy: str = "") -> CheckFinding:
    return CheckFinding("container engine", level, message, remedy)
