"""Which containers may run where tidegate's own workers run, and with which rights."""

import asyncio
import contextlib
from dataclasses import replace

from tidegate.auth.keys import serves_its_user_alone
from tidegate.domain.admission import DEFAULT_ADMISSION
from tidegate.domain.errors import ArtifactError, Invalid, StartupError, TargetRefused, Transient, Unavailable
from tidegate.domain.fleet import VariantSpec
from tidegate.domain.registry import MULTI_MODEL, ContainerDefinition, Model
from tidegate.host.features import features
from tidegate.serving.artifacts import fetch
from tidegate.serving.artifacts.detect_runtime import HANDLER
from tidegate.serving.contract import images, trust
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import Serving
from tidegate.serving.runtimes import submitted_code
from tidegate.settings import Settings

CHECK_MANY_MODELS = "check_many_models"
"""Extension point: a function of a container of many models that raises Invalid."""
PIN_IMAGE = "pin_image"
"""Extension point: a coroutine function of the name of a container image and the settings, which returns the name
with a digest."""
CHECK_SERVICE = "check_service"
"""Extension point: a function of a container that is a service, and of the settings, that raises Invalid."""
LIVE_RUNS = "live-runs"
"""Folder of the state folder with the model data of live lessons."""


def image_table(settings: Settings) -> ImageTable:
    if settings.images is None:
        return ImageTable(containers=settings.containers)
    path = settings.images.expanduser()
    try:
        return replace(images.parse_table(path.read_text(), str(path)), containers=settings.containers)
    except OSError as error:
        raise StartupError(f"the table of images {path} cannot be read: {error.strerror}") from None


def check_container(container: ContainerDefinition, table: ImageTable, settings: Settings) -> None:
    """Check the image and the environment of a container. Raises Invalid for an image without a runtime or command on
    this server, and for a variable that would change which program runs."""
    kind = images.resolve_container(container, table).kind
    check_environment(container.environment, contained=kind is RuntimeKind.CONTAINER)
    if kind is RuntimeKind.SERVICE:
        features().require_hook(CHECK_SERVICE, f"a {kind}")(container, settings)
    allowed = settings.trust | granted_by_table(container, kind, table)
    refused = trust.trust_words(container.environment.get(trust.TRUST, "")) - allowed
    if trust.PICKLE in refused:
        raise Invalid(
            f"environment variable {trust.TRUST}: this server unpickles nothing, since a pickle is a program; "
            f"save the model with skops, or start the server with {trust.TRUST}={_with_word(trust.PICKLE, settings)}"
        )
    brings = kind.descriptor.runs_code or submitted_code.program(kind, container.environment)
    if trust.CODE in refused or (brings and trust.CODE not in allowed):
        raise Invalid(
            f"image {container.image!r}: this server runs no code that comes with a model; to let whoever may create"
            f" models run code as the server's user, start it with {trust.TRUST}={_with_word(trust.CODE, settings)}"
        )

    if container.mode == MULTI_MODEL:
        if kind.descriptor.outside:
            raise Invalid(
                f"image {container.image!r} is a {kind}, which serves one model: Mode {MULTI_MODEL} needs a built-in"
                " runtime"
            )
        features().require_hook(CHECK_MANY_MODELS, f"Mode {MULTI_MODEL}")(container)


async def pin_image(container: ContainerDefinition, table: ImageTable, settings: Settings) -> str:
    """Return the name of a container's image with the digest that its tag stands for, where it is a container image
    that this machine runs. Raises Invalid or Unavailable."""
    try:
        kind = images.resolve_container(container, table).kind
    except Invalid:
        return container.image  # refused, with what else is wrong, where the model is created
    pin = features().find_hook(PIN_IMAGE) if kind is RuntimeKind.CONTAINER else None
    try:
        return container.image if pin is None else str(await pin(container.image, settings))
    except ArtifactError as error:
        raise Invalid(error.message) from None
    except Transient as error:
        raise Unavailable(error.message) from None


async def check_data(url: str, settings: Settings) -> None:
    """Check that model data exists. Raises MissingArtifact or ArtifactError for data that no replica could fetch. An
    S3 that does not answer now says nothing about later."""
    policy = fetch.Policy(file_roots(settings), settings.s3_endpoint, settings.region)
    with contextlib.suppress(Transient):
        await asyncio.to_thread(fetch.check_exists, url, policy)


def _with_word(word: str, settings: Settings) -> str:
    return ",".join(sorted({word, *settings.trust}))


def granted_by_table(container: ContainerDefinition, kind: RuntimeKind, table: ImageTable) -> frozenset[str]:
    """The rights that the server's table of images gives the container."""
    environment = container.environment
    sources = [url for url in (container.data_url, submitted_code.address(kind, environment)) if url]
    chosen = kind is RuntimeKind.PYTHON or bool(environment.get(HANDLER))
    return trust.granted_words(table.trusted, container.image, sources, chosen)


def granted_environment(
    container: ContainerDefinition, kind: RuntimeKind, table: ImageTable, settings: Settings
) -> dict[str, str]:
    """The container's environment with the rights that the server and its table of images give it, and no others.
    Every target starts its workers with this one."""
    return with_trust(container.environment, kind, settings, granted_by_table(container, kind, table))


def with_trust(
    environment: dict[str, str], kind: RuntimeKind, settings: Settings, also: frozenset[str] = frozenset()
) -> dict[str, str]:
    """The environment with what its container may run: what it asks for and the server allows (still), and, since
    to bring code is to ask, whether code may run. ``also``: what it is trusted with by the table."""
    rest = {name: value for name, value in environment.items() if name != trust.TRUST}
    if kind.descriptor.outside:
        return rest
    asked = trust.trust_words(environment.get(trust.TRUST, ""))
    granted = ",".join(sorted(((asked | {trust.CODE}) & settings.trust) | also))
    return {**rest, trust.TRUST: granted} if granted else rest


def file_roots(settings: Settings) -> tuple[str, ...] | None:
    """Folders that a worker may read; None means any, which whoever the server asks nothing may read anyway. Uploaded
    files, and models of live runs, are always among them."""
    if serves_its_user_alone(settings) and not settings.file_roots:
        return None
    state = settings.state.expanduser().absolute()
    return tuple(str(root) for root in (*settings.file_roots, state / "uploads", state / LIVE_RUNS))


def check_without_router(variant: VariantSpec) -> None:
    """Check that a variant needs nothing that only the platform's own router and workers do. Raises TargetRefused if
    it does."""
    if variant.capture is not None and variant.capture.enabled:
        raise TargetRefused("data capture needs the platform's own workers: take target local")
    if variant.admission != DEFAULT_ADMISSION:
        raise TargetRefused(
            "quotas, max_in_flight and queue_time are kept by the platform's own router, which requests do not pass"
            " here: take them out of the spec and limit clients in front of the endpoint, or take target local"
        )


def serving_mode(model: Model) -> Serving:
    if model.multi_model:
        return Serving.MULTI_MODEL
    if model.execution_mode == "Direct" and not model.single:
        return Serving.DIRECT
    return Serving.SERIAL if len(model.containers) > 1 else Serving.SINGLE
