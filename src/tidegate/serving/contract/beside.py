"""A container of the user's that an orchestrator runs beside the worker, in its pod or task. Pure.

The worker is the front of such a container and forwards to it on loopback. Containers that share a network share its
ports, so the front leaves SageMaker's port to the container.
"""

from collections.abc import Mapping
from dataclasses import replace

from tidegate.domain.registry import Protocol, Upstream
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import Listen

FRONT_PORT, FRONT_CONTROL_PORT = 18_080, 18_081
"""Ports of a front that stands beside a container: of predictions and of statistics."""
DEFAULT_PORTS = {Protocol.SAGEMAKER: 8080, Protocol.V2: 8080, Protocol.OPENAI: 8000}
"""Port of a container whose spec says none, by what it speaks."""
HEALTH_PATHS = {Protocol.SAGEMAKER: "/ping", Protocol.V2: "/v2/health/ready", Protocol.OPENAI: "/health"}
DRAINED_PATH = "/drained"
"""Page of the front that is answered once its requests are over: until then the container beside it is needed."""
DATA_FOLDER = "/opt/ml/model"
"""Where a container finds its model data, as SageMaker's do."""
SERVE = ("serve",)
"""Arguments of an image with SageMaker's contract."""


def container_port(upstream: Upstream) -> int:
    return upstream.port or DEFAULT_PORTS[upstream.protocol]


def health_path(upstream: Upstream) -> str:
    return upstream.health or HEALTH_PATHS[upstream.protocol]


def container_arguments(upstream: Upstream) -> tuple[str, ...]:
    """Return the arguments of the image's entrypoint: ``serve``, as SageMaker starts images, where no key says how
    the container differs from SageMaker's contract."""
    usual = Upstream(url=upstream.url, prediction=upstream.prediction)
    return SERVE if upstream == usual else upstream.arguments


def container_environment(upstream: Upstream, declared: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a container: those that its owner declared, and SageMaker's."""
    port = str(container_port(upstream))
    return {
        **declared,
        "SAGEMAKER_BIND_TO_PORT": port,
        "SM_MODEL_DIR": DATA_FOLDER,
        "MODEL_DIR": DATA_FOLDER,
    }


def put_beside(choice: RuntimeChoice) -> RuntimeChoice:
    """Return what a worker runs whose container stands beside it; of other runtimes the same."""
    if choice.kind is not RuntimeKind.CONTAINER:
        return choice
    upstream = choice.upstream or Upstream()
    return replace(choice, upstream=replace(upstream, url=f"http://127.0.0.1:{container_port(upstream)}"))


def is_beside(choice: RuntimeChoice) -> bool:
    """Whether the container stands beside the worker, and is not started by it."""
    return choice.kind is RuntimeKind.CONTAINER and choice.upstream is not None and bool(choice.upstream.url)


def front_ports(listen: Listen) -> Listen:
    """Return the ports of a front that stands beside a container."""
    return replace(listen, port=FRONT_PORT, control_port=FRONT_CONTROL_PORT)
