"""The specification with which a worker in a container starts: a file that all workers of a fleet share, or its
environment, as SageMaker starts containers. Pure.

The file is a ``ReplicaSpec`` as JSON. It may leave out what a container knows itself: ``replica``, ``socket``, the
``model_dir`` of each container, ``listen``, and where pairs of answers are kept.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, Listen, ReplicaSpec

REPLICA = "TIDEGATE_REPLICA"
"""Name of the replica; the host's name where it is not set."""
RUNTIME = "TIDEGATE_RUNTIME"
"""Which runtime serves the model, in a container without a start file; else what fits the model data."""
MODEL_DIR = "/opt/ml/model"
"""Where SageMaker puts the unpacked model data."""
_ENDPOINT = "sagemaker"
"""The endpoint's name is not told to a container."""
_GRACE = 25.0
"""Seconds to drain: SageMaker kills a container 30 seconds after it asked it to end."""
_LARGEST = 10 * 1024**3
"""Bytes of a body where SageMaker sets no limit."""


def replica_name(environment: Mapping[str, str], host: str) -> str:
    return environment.get(REPLICA) or host


def from_file(content: bytes, origin: str, replica: str, work: PurePath) -> ReplicaSpec:
    """Complete the start file. ``work``: the folder for what the worker writes. Raises StartupError."""
    try:
        given = msgspec.json.decode(content, type=prepare_type(dict[str, Any]))
        given["replica"] = given.get("replica") or replica
        given["socket"] = given.get("socket") or _socket(work)
        given["listen"] = given.get("listen") or {}
        for number, container in enumerate(given.get("containers", ()), 1):
            container["model_dir"] = container.get("model_dir") or str(work / f"model{number}")
        if given.get("mirror"):
            given["mirror"]["kept"] = given["mirror"].get("kept") or str(work / "shadow" / "pairs.jsonl")
        return msgspec.convert(given, prepare_type(ReplicaSpec))
    except (msgspec.MsgspecError, TypeError, AttributeError) as error:
        raise StartupError(f"{origin} is not a start file: {error}") from None


def from_environment(environment: Mapping[str, str], replica: str, work: PurePath) -> ReplicaSpec:
    """The replica that SageMaker's variables describe, with model data in ``model_folder``. Raises StartupError."""
    if environment.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true":
        raise StartupError(
            "SAGEMAKER_MULTI_MODEL: in SageMaker this image serves one model; a multi-model endpoint of tidegate's"
            " needs a start file"
        )
    kind = environment.get(RUNTIME, RuntimeKind.AUTO.value)
    known = sorted(each.value for each in RuntimeKind if not each.descriptor.outside)
    if kind not in known:
        raise StartupError(f"{RUNTIME} must be one of {', '.join(known)}, not {kind!r}")
    batch = environment.get("SAGEMAKER_BATCH") == "true"
    payload = _number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", -1 if not batch else 6)
    return ReplicaSpec(
        replica=replica,
        fleet=FleetId(_ENDPOINT, 1, "AllTraffic"),
        config_name=_ENDPOINT,
        containers=(
            ContainerSpec(
                runtime=RuntimeChoice(RuntimeKind(kind)),
                model_dir=str(work / "model1"),
                environment=dict(environment),
            ),
        ),
        socket=_socket(work),
        listen=_ports(environment),
        raw_errors=True,
        region=environment.get("AWS_REGION") or ReplicaSpec.region,
        max_body=ReplicaSpec.max_body if payload < 0 else payload * 1024**2 or _LARGEST,
        invocation_timeout=float(_number(environment, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60)),
        drain_timeout=_GRACE,
    )


def model_folder(environment: Mapping[str, str]) -> str:
    return environment.get("SM_MODEL_DIR") or MODEL_DIR


def _socket(work: PurePath) -> str:
    return str(work / "worker.sock")


def _ports(environment: Mapping[str, str]) -> Listen:
    """Return the ports: predictions are served where SageMaker says. Containers of one endpoint share an address, so
    the control port, which nothing there reads, is left out."""
    return Listen(
        port=_number(environment, "SAGEMAKER_BIND_TO_PORT", Listen.port), control_port=0, drain_notice=1.0
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    given = environment.get(name, "")
    if given and not (given.isdecimal() and len(given) < 10):
        raise StartupError(f"{name} must be a whole number, not {given!r}")
    return int(given) if given else default
