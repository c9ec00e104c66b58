"""Code that lies beside a model and not in it: the archive that SageMaker's SDK uploads for an ``entry_point``.

``SAGEMAKER_SUBMIT_DIRECTORY`` is its address, ``SAGEMAKER_PROGRAM`` the file in it. It is brought here once for a
fleet, like model data and within the same bounds, and only where the server runs code. A folder of the model data
(``/opt/ml/model/code``) is not brought: it is there (``runtimes.script``).
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from tidegate.domain.errors import ArtifactError, Transient
from tidegate.serving.artifacts.detect import CODE_FOLDER, PROGRAM
from tidegate.serving.artifacts.fetch import ARCHIVES, Policy, materialise
from tidegate.serving.contract.images import RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec

DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
FOLDER = "TIDEGATE_CODE_FOLDER"
"""Variable of a container's environment, within a worker: where the code was brought to."""
MOUNT = "/opt/ml/model"
"""Where a model folder lies in SageMaker's containers."""
_RUN_SCRIPTS = (
    *(RuntimeKind.SCRIPT, RuntimeKind.SKLEARN, RuntimeKind.XGBOOST),
    *(RuntimeKind.SAGEMAKER_XGBOOST, RuntimeKind.AUTO),
)


def program(kind: RuntimeKind, environment: Mapping[str, str]) -> str:
    """The file that its owner wants to be run; empty where there is none. SageMaker's SDK says the variable of every
    model."""
    return environment.get(PROGRAM, "") if kind in _RUN_SCRIPTS else ""


def address(kind: RuntimeKind, environment: Mapping[str, str]) -> str:
    """Where code that does not lie in the model data is to be had; empty where there is none."""
    given = environment.get(DIRECTORY, "")
    if not given or not program(kind, environment) or environment.get(FOLDER):
        return ""
    if (
        given.startswith("file:///")
        and not given.startswith(f"file://{MOUNT}/")
        and given.endswith((*ARCHIVES, "/"))
    ):
        return given
    return given if given.startswith("s3://") else ""


def fetch(container: ContainerSpec, policy: Policy) -> None:
    """Brings the container's code here, if there is some. Raises ArtifactError, also where the server runs none, and
    Transient."""
    url = address(container.runtime.kind, container.environment)
    if not url:
        return
    import_module("tidegate.serving.runtimes.user_code").check_allowed(
        container.environment, f"{DIRECTORY} ({url})"
    )
    try:
        materialise(url, _folder(container), policy)
    except (ArtifactError, Transient) as error:
        raise type(error)(f"{DIRECTORY}: {error.message}") from None


def settled(spec: ReplicaSpec) -> ReplicaSpec:
    """The same, with each container told where its code is."""
    return replace(spec, containers=tuple(map(_told, spec.containers)))


def _told(container: ContainerSpec) -> ContainerSpec:
    if not address(container.runtime.kind, container.environment):
        return container
    return replace(container, environment={**container.environment, FOLDER: str(_folder(container))})


def _folder(container: ContainerSpec) -> Path:
    """Beside the model's own folder, and named as in it, so that errors name files as their owner does."""
    model = Path(container.model_dir)
    return model.with_name(f"{model.name}.submitted") / CODE_FOLDER
