"""Resolves an image name to a built-in runtime, or to a command from the server's table. Pure.

Commands come only from the server's own table, never over the wire. The table, in YAML::

    images:
      registry.example/fraud:*:            # a name, or a pattern (* and ? match any characters)
        command: [/srv/fraud/serve, --quiet]
        environment: {WORKERS: "1"}        # defaults; the container's Environment wins
      our-xgboost:
        runtime: xgboost

    trusted:                               # see ``trust``
    - data: s3://models/approved/
      trust: [pickle]

The images of the built-in runtimes (``catalogue``) are looked up after the table.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import yaml

from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.image_name import ImageName, is_allowed
from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.serving.contract.beside import FRONT_CONTROL_PORT, FRONT_PORT, container_port
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.trust import Trusted, parse_trusted


@dataclass(frozen=True)
class ImageTable:
    """Image name or pattern -> runtime or command, in the order of the file."""

    entries: dict[str, RuntimeChoice] = field(default_factory=dict)
    trusted: tuple[Trusted, ...] = ()
    containers: tuple[str, ...] = ()
    """Patterns of the container images that the server allows (TIDEGATE_CONTAINERS)."""


ANY_IMAGE = ImageTable(containers=("*",))
"""For files that somebody else applies, whose cluster or account says which images may run."""
BUILT_IN = {
    image.shown: (re.compile(image.pattern), kind) for kind in RuntimeKind for image in kind.descriptor.images
}
"""Built-in image name as it is shown -> the pattern that it stands for, and the runtime."""


def resolve_container(container: ContainerDefinition, table: ImageTable) -> RuntimeChoice:
    """Resolve what a container runs: the service or the container image that it names, or else its image's entry.
    Raises Invalid."""
    upstream = container.upstream
    if upstream is not None and upstream.url:
        return RuntimeChoice(RuntimeKind.SERVICE, upstream=upstream)
    if upstream is not None:
        check_image_allowed(container.image, table)
        return RuntimeChoice(RuntimeKind.CONTAINER, image=container.image, upstream=upstream)
    return resolve(container.image, table)


def check_image_allowed(image: str, table: ImageTable) -> None:
    """Raises Invalid for a container image that the server does not allow."""
    if is_allowed(ImageName.parse(image), table.containers):
        return
    allowed = f"it allows {', '.join(table.containers)}" if table.containers else "it allows none"
    raise Invalid(
        f"this server does not run the container image {image!r}: {allowed}; its owner lists allowed images in"
        " TIDEGATE_CONTAINERS, such as ghcr.example/team/*"
    )


def resolve(image: str, table: ImageTable) -> RuntimeChoice:
    """Resolve ``image``: an exact entry of the table, else its first matching pattern, else a built-in runtime, else
    a container image that the server allows.

    Raises Invalid, with the known names, if there is none."""
    exact = table.entries.get(image)
    if exact is not None:
        return exact
    for pattern, choice in table.entries.items():
        if fnmatchcase(image, pattern):
            return choice
    for matches, kind in BUILT_IN.values():
        if matches.fullmatch(image):
            return RuntimeChoice(kind)
    if _is_allowed_container(image, table):
        return RuntimeChoice(RuntimeKind.CONTAINER, image=image, upstream=Upstream())
    known = ", ".join([*BUILT_IN, *table.entries])
    raise Invalid(
        f"image {image!r} is not in this server's table of images, and no container image that the server allows"
        f" (TIDEGATE_CONTAINERS); use one of: {known}; or add it to the table with a command"
    )


def _is_allowed_container(image: str, table: ImageTable) -> bool:
    try:
        return is_allowed(ImageName.parse(image), table.containers)
    except Invalid:
        return False


def containers_beside(definitions: Iterable[ContainerDefinition], table: ImageTable) -> list[ContainerDefinition]:
    """Return the containers of a model that are images of the user's. Raises Invalid for two with one port."""
    found = [one for one in definitions if resolve_container(one, table).kind is RuntimeKind.CONTAINER]
    taken = dict[int, str]()
    for one in found:
        port = container_port(one.upstream or Upstream())
        if port in (FRONT_PORT, FRONT_CONTROL_PORT):
            raise Invalid(f"container {one.image}: port {port} is tidegate's own: choose another one")
        if port in taken:
            raise Invalid(
                f"containers {taken[port]} and {one.image} both listen on port {port}, and share one address: give"
                " one of them another port"
            )
        taken[port] = one.image
    return found


_EXPECTED = "expected one key 'images' that maps image names to what runs them"


def parse_table(text: str, origin: str) -> ImageTable:
    """Parse the table from YAML; ``origin`` names the file in errors. Raises StartupError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StartupError(f"{origin} is not YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return ImageTable()
    if not isinstance(document, dict) or not document or not set(document) <= {"images", "trusted"}:
        raise StartupError(f"{origin}: {_EXPECTED}, and maybe 'trusted'")
    images = document.get("images", {})
    if not isinstance(images, dict):
        raise StartupError(f"{origin}: {_EXPECTED}")
    entries = {_name(key, origin): _entry(key, entry, origin) for key, entry in images.items()}
    return ImageTable(entries, parse_trusted(document.get("trusted", []), origin))


def _name(key: object, origin: str) -> str:
    if not isinstance(key, str) or not key or key.split() != [key]:
        raise StartupError(f"{origin}: image name {key!r} must be a text without spaces")
    return key


def _entry(name: object, entry: object, origin: str) -> RuntimeChoice:
    where = f"{origin}: image {name!r}"
    if not isinstance(entry, dict):
        raise StartupError(f"{where} must be a mapping with 'command' or 'runtime'")
    unknown = set(entry) - {"command", "environment", "runtime"}
    if unknown:
        raise StartupError(
            f"{where}: unknown key {sorted(map(str, unknown))[0]!r}; use command, environment, runtime"
        )
    if ("command" in entry) == ("runtime" in entry):
        raise StartupError(f"{where} must have either 'command' or 'runtime'")
    if "runtime" in entry:
        return _built_in(entry, where)
    command = entry["command"]
    if not isinstance(command, list) or not command or not all(isinstance(part, str) and part for part in command):
        raise StartupError(f"{where}: command must be a list of texts, such as [/srv/fraud/serve, --quiet]")
    return RuntimeChoice(RuntimeKind.PROGRAM, tuple(command), _environment(entry.get("environment", {}), where))


def _built_in(entry: dict[str, object], where: str) -> RuntimeChoice:
    names = [kind.value for kind in RuntimeKind if not kind.descriptor.outside]
    if entry["runtime"] not in names:
        raise StartupError(f"{where}: runtime {entry['runtime']!r} is not one of {', '.join(names)}")
    if "environment" in entry:
        raise StartupError(f"{where}: environment goes with a command, not with a runtime")
    return RuntimeChoice(RuntimeKind(str(entry["runtime"])))


def _environment(given: object, where: str) -> dict[str, str]:
    if not isinstance(given, dict):
        raise StartupError(f"{where}: environment must map names to texts")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise StartupError(f"{where}: environment {name!r} must be a text; put quotes around it")
    return dict(given)
