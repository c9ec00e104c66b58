"""Images in the engine's store: found by their digest, and pulled where they are missing."""

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace

from tidegate.domain.errors import ArtifactError, Transient
from tidegate.domain.image_name import LOCAL, ImageName
from tidegate.features.containers.worker.engine_command import (
    ContainerEngine,
    EngineReply,
    command_environment,
    find_engine,
)
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec

KEPT = f"{LOCAL}/tidegate-kept"
"""Repository of this machine whose tags are digests of images that were built here: a version that names one keeps
it, also when its own tag moves on."""
_PAUSES = (1.0, 2.0, 4.0)
"""Seconds before another try. Then the start fails, and the platform tries again later."""
_found: dict[ImageName, str] = {}
"""Ids of images that were looked for before: of those that this instance runs."""
_ABSENT = re.compile(
    r"manifest unknown|not found|name unknown|no such image|does not exist|NotFound|repository name not known",
    re.I,
)
_DENIED = re.compile(r"unauthorized|denied|authentication required|forbidden|no basic auth", re.I)
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.I)
_NOWHERE = re.compile(r"no such host|connection refused|timeout|unreachable|50\d |TLS|EOF|reset", re.I)


async def fetch_image(spec: ReplicaSpec, container: ContainerSpec, tell: Callable[[str], None]) -> None:
    """Pull the image of a container unless it is there. Raises ArtifactError for one that cannot be had, Invalid
    without an engine, and Transient where another try may help."""
    engine = find_engine()
    await require_image(engine, ImageName.parse(container.runtime.image), spec.replica, tell)


async def require_image(
    engine: ContainerEngine, image: ImageName, replica: str, tell: Callable[[str], object] = str
) -> str:
    """Return the id of an image, pulled first if it is missing. ``tell`` is told how far the pull is."""
    if (found := _found.get(image) or await find_image(engine, image)) is not None:
        _found[image] = found
        return found
    for pause in (*_PAUSES, None):
        print(f"tidegate worker {replica}: pulling the image {image.exact}", flush=True)
        try:
            await _pull(engine, image, tell)
            break
        except Transient as error:
            if pause is None:
                raise
            tell(f"{error}; trying again in {pause:g} s")
            print(f"tidegate worker {replica}: {error}; trying again in {pause:g} s", flush=True)
            await asyncio.sleep(pause)
    found = await find_image(engine, image)
    if found is None:
        raise Transient(f"{engine.name} pulled the image {image.exact}, but does not have it")
    print(f"tidegate worker {replica}: pulled the image {image.exact}", flush=True)
    return found


async def find_image(engine: ContainerEngine, image: ImageName) -> str | None:
    """Return the id of an image that is there; None if it is not."""
    names = [image.exact]
    if image.digest:
        names += [f"{KEPT}:{image.digest.removeprefix('sha256:')}", image.digest]
    for name in names:
        reply = await engine.run("image", "inspect", "--format", "{{.Id}}", name)
        if reply.code == 0:
            return reply.output
    return None


async def _pull(engine: ContainerEngine, image: ImageName, tell: Callable[[str], object]) -> None:
    """The engine's lines about its progress go to this process's output, as the log shows it."""
    process = await asyncio.create_subprocess_exec(
        engine.path,
        "pull",
        str(replace(image, tag="")) if image.digest else image.exact,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=command_environment(os.environ),
    )
    assert process.stdout is not None
    lines = []
    try:
        async for line in process.stdout:
            lines.append(line.decode("utf-8", "replace").rstrip())
            print(lines[-1], flush=True)
            tell(f"pulling the image {image.exact}: {lines[-1]}")
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    if code != 0:
        raise explain_failure(image, EngineReply(code, "", "\n".join(lines)))


def explain_failure(image: ImageName, reply: EngineReply) -> ArtifactError | Transient:
    """Make the error of a pull, or of a question to a registry, that failed."""
    why = reply.why
    if _FULL.search(reply.errors):
        return ArtifactError(
            f"the disk is full: the image {image.exact} does not fit on this machine; remove images that are not"
            f" needed: podman image prune, or docker image prune ({why})"
        )
    if _DENIED.search(why):
        return ArtifactError(
            f"the registry {image.host} does not give out {image.exact}: it does not exist, or the server's user has"
            f" to log in there ({why})"
        )
    if _ABSENT.search(why) and not _NOWHERE.search(why):
        return ArtifactError(f"there is no image {image.exact} ({why})")
    return Transient(f"the image {image.exact} cannot be pulled: {why}")
