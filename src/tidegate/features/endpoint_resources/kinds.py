"""The record that endpoint_resources keeps of each resource, by the name of its endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidegate.ports.store import Kind


@dataclass(frozen=True)
class ResourceRecord:
    """``uid`` and ``created`` are those of the resource; ``generation``: the last of its generations that was taken,
    which was deployed unless ``refusal`` says why not. ``config``: the config of the last one that was deployed.
    ``made``: when the endpoint was created that it was deployed to; None: to none. ``done``: annotations that were
    carried out and not yet seen gone. ``paused``: id of the rollout that was paused by annotation. ``note``: why an
    annotation could not be carried out. ``refused``: the config that a refused spec asks for, if that is known.
    ``settings``: those of rollouts that were deployed (``service.rollout_settings``); empty: not known."""

    uid: str
    created: str
    generation: int
    config: str = ""
    made: datetime | None = None
    refusal: str = ""
    done: tuple[str, ...] = ()
    paused: str = ""
    note: str = ""
    refused: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


RESOURCE = Kind("endpoint-resource", ResourceRecord)
KINDS: tuple[Kind[Any], ...] = (RESOURCE,)
