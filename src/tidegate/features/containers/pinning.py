"""Finds the digest that the tag of an image stands for now."""

import json
import re
import secrets

from tidegate.domain.errors import ArtifactError, Invalid, TidegateError, Transient
from tidegate.domain.image_name import LOCAL, ImageName, is_allowed_by_digest, pin
from tidegate.features.containers.worker.engine_command import ContainerEngine, find_engine
from tidegate.features.containers.worker.images import KEPT, explain_failure
from tidegate.settings import Settings

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PULL_TIMEOUT = 600.0
_TIMEOUT = 30.0
"""Seconds for a registry's answer: somebody waits for it."""


async def pin_image(name: str, settings: Settings) -> str:
    """Return the name with its digest. The registry is asked first, by the engine with its own credentials; an image
    that is in none, or whose registry does not answer, is the engine's own. Raises Invalid, ArtifactError or
    Transient."""
    image = ImageName.parse(name)
    if image.digest:
        await _check_claim(image, settings)
        return name
    return pin(name, await _find_digest(find_engine(), image))


async def _check_claim(image: ImageName, settings: Settings) -> None:
    """Check that an image with tag and digest has the tag, if that is all that allows it."""
    if not image.tag or is_allowed_by_digest(image, settings.containers):
        return
    claimed = ImageName(image.host, image.path, image.tag)
    if await _find_digest(find_engine(), claimed) != image.digest:
        raise Invalid(
            f"container image {image}: {claimed} is another image by now, and TIDEGATE_CONTAINERS allows this tag,"
            " not this digest"
        )


async def _find_digest(engine: ContainerEngine, image: ImageName) -> str:
    if image.host == LOCAL:
        return await _require_local(engine, image)
    try:
        return await _ask_registry(engine, image)
    except TidegateError:
        if (found := await _find_local(engine, image)) is not None:
            return found
        raise


async def _ask_registry(engine: ContainerEngine, image: ImageName) -> str:
    return await (_ask_by_podman if engine.is_podman else _ask_by_docker)(engine, image)


async def _ask_by_podman(engine: ContainerEngine, image: ImageName) -> str:
    """A list of manifests with this one in it shows its digest. The engine reads no layer for that."""
    name = f"{LOCAL}/tidegate-question:{secrets.token_hex(8)}"
    made = await engine.run("manifest", "create", name, f"docker://{image.exact}", seconds=_TIMEOUT)
    try:
        if made.code != 0:
            raise explain_failure(image, made)
        shown = await engine.run("manifest", "inspect", name)
        return str(json.loads(shown.output)["manifests"][0]["digest"])
    except (ValueError, LookupError):
        raise Transient(f"podman does not tell the digest of {image.exact}") from None
    finally:
        await engine.run("manifest", "rm", name)


async def _ask_by_docker(engine: ContainerEngine, image: ImageName) -> str:
    """For an image of several platforms, the digest of this machine's."""
    shown = await engine.run("manifest", "inspect", "--verbose", image.exact, seconds=_TIMEOUT)
    if shown.code != 0:
        return await _pull_by_docker(engine, image)
    own = (await engine.run("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")).output
    try:
        found = json.loads(shown.output)
        for one in found if isinstance(found, list) else [found]:
            platform = one["Descriptor"].get("platform")
            if platform is None or f"{platform['os']}/{platform['architecture']}" == own:
                return str(one["Descriptor"]["digest"])
    except (ValueError, LookupError):
        raise Transient(f"docker does not tell the digest of {image.exact}") from None
    raise ArtifactError(f"the image {image.exact} is not for this machine ({own})")


async def _pull_by_docker(engine: ContainerEngine, image: ImageName) -> str:
    """Its daemon reaches registries that the command does not, such as those of this machine without TLS."""
    pulled = await engine.run("pull", "--quiet", image.exact, seconds=_PULL_TIMEOUT)
    if pulled.code != 0:
        raise explain_failure(image, pulled)
    return await _require_local(engine, image)


async def _require_local(engine: ContainerEngine, image: ImageName) -> str:
    if (found := await _find_local(engine, image)) is None:
        raise ArtifactError(f"there is no image {image.exact} on this machine")
    return found


async def _find_local(engine: ContainerEngine, image: ImageName) -> str | None:
    """The digest of an image of this machine, which is kept from now on under a name of its own."""
    fields = "{{.Digest}}" if engine.is_podman else "{{range .RepoDigests}}{{.}} {{end}}"
    shown = await engine.run("image", "inspect", "--format", f"{{{{.Id}}}} {fields}", image.exact)
    if shown.code != 0:
        return None
    id, _, rest = shown.output.partition(" ")
    digests = _DIGEST.findall(rest)
    digest = digests[0] if digests else f"sha256:{id.removeprefix('sha256:')}"
    await engine.run("tag", id, f"{KEPT}:{digest.removeprefix('sha256:')}")
    return digest
