"""Code outside the model data: the archive that SageMaker's SDK uploads for an ``entry_point``.

``SAGEMAKER_SUBMIT_DIRECTORY`` is its URL, ``SAGEMAKER_PROGRAM`` the file in it. It is downloaded once for a fleet,
with the limits of model data, if the server runs code. A folder of the model data (``/opt/ml/model/code``) needs no
download (``runtimes.script``).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tidegate.domain.errors import ArtifactError, Transient
from tidegate.serving.artifacts.detect_runtime import CODE_FOLDER, PROGRAM
from tidegate.serving.artifacts.fetch import ARCHIVES, Policy, materialise
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.contract.trust import check_code_allowed

DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
FOLDER = "TIDEGATE_CODE_FOLDER"
"""Variable of a container's environment, within a worker: the folder of the downloaded code."""
MOUNT = "/opt/ml/model"
"""The model folder in SageMaker's containers."""
_RUN_SCRIPTS = (
    RuntimeKind.SCRIPT,
    RuntimeKind.AUTO,
    *(kind for kind in RuntimeKind if kind.descriptor.script_framework),
)


def program(kind: RuntimeKind, environment: Mapping[str, str]) -> str:
    """The script to run; empty if there is none. SageMaker's SDK sets the variable for every model."""
    return environment.get(PROGRAM, "") if kind in _RUN_SCRIPTS else ""


def address(kind: RuntimeKind, environment: Mapping[str, str]) -> str:
    """URL of code outside the model data; empty if there is none."""
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
    """Download the container's code, if there is any. Raises ArtifactError, also if the server runs no code, and
    Transient."""
    url = address(container.runtime.kind, container.environment)
    if not url:
        return
    check_code_allowed(container.environment, f"{DIRECTORY} ({url})")
    try:
        materialise(url, _folder(container), policy)
    except (ArtifactError, Transient) as error:
        raise type(error)(f"{DIRECTORY}: {error.message}") from None


def with_code_folders(spec: ReplicaSpec) -> ReplicaSpec:
    """The same spec, with the folder of each container's code in its environment."""
    return replace(spec, containers=tuple(map(_with_code_folder, spec.containers)))


def _with_code_folder(container: ContainerSpec) -> ContainerSpec:
    if not address(container.runtime.kind, container.environment):
        return container
    return replace(container, environment={**container.environment, FOLDER: str(_folder(container))})


def _folder(container: ContainerSpec) -> Path:
    """A folder beside the model's, named as in the model data, so that errors show the owner's file names."""
    model = Path(container.model_dir)
    return model.with_name(f"{model.name}.submitted") / CODE_FOLDER
