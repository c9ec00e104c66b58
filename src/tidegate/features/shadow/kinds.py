"""The records that shadow keeps."""

from typing import Any

from tidegate.features.shadow.records import ShadowExperiment
from tidegate.ports.store import Kind

EXPERIMENT = Kind("experiment", ShadowExperiment)
KINDS: tuple[Kind[Any], ...] = (EXPERIMENT,)
TAGGABLE: dict[str, Kind[Any]] = {"inference-experiment": EXPERIMENT}
"""By the type of the resource in its ARN."""
