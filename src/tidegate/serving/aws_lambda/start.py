"""Starts the handler from the package: its replica file, and what the version's environment says."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tidegate.domain.errors import StartupError
from tidegate.domain.fleet import FleetId
from tidegate.serving.aws_lambda.handler import EventHandler
from tidegate.serving.aws_lambda.loop_model import LoopModel
from tidegate.serving.aws_lambda.replies import VARIABLE, BucketResults
from tidegate.serving.contract.replica_spec import ReplicaSpec, most_threads, read

REPLICA = "TIDEGATE_REPLICA_FILE"
FLEET, CONFIG = "TIDEGATE_FLEET", "TIDEGATE_CONFIG"
"""Variables of a version: one package serves any number of them."""


def describe(environment: Mapping[str, str]) -> ReplicaSpec:
    """Raises StartupError."""
    root = environment.get("LAMBDA_TASK_ROOT", ".")
    spec = read(Path(environment.get(REPLICA, f"{root}/replica.json")))
    group = environment.get("AWS_LAMBDA_LOG_GROUP_NAME", spec.log_group)
    region = environment.get("AWS_REGION", spec.region)
    stream = f"arn:aws:logs:{region}:{spec.account}:log-group:{group}"
    containers = tuple(
        replace(one, model_dir=_model_folder(Path(root) / one.model_dir)) for one in spec.containers
    )
    try:
        fleet = FleetId.parse(environment[FLEET]) if FLEET in environment else spec.fleet
    except ValueError:
        raise StartupError(f"{FLEET} must be endpoint/generation/variant, not {environment[FLEET]!r}") from None
    return replace(
        spec,
        fleet=fleet,
        config_name=environment.get(CONFIG, spec.config_name),
        containers=containers,
        region=region,
        log_group=group,
        log_stream_arn=stream,
    )


def _model_folder(folder: Path) -> str:
    """An empty one for a container that brings no data: the package has no empty folders and cannot be written to."""
    return str(folder) if folder.is_dir() else tempfile.mkdtemp(prefix="model-")


def start(environment: Mapping[str, str]) -> EventHandler:
    """Load the model. Raises TidegateError: the environment does not start, and Lambda tells why."""
    spec = describe(environment)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when numpy and the runtime are imported
        os.environ[variable] = str(most_threads(spec))
    results = environment.get(VARIABLE)
    return EventHandler(
        spec,
        LoopModel(spec, spec.startup_timeout),
        BucketResults(results, spec.s3_endpoint, spec.region) if results else None,
    )
