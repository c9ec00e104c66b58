"""The records that evidence keeps."""

from typing import Any

from tidegate.domain.evidence import StoredEvidence
from tidegate.domain.replay import ReplayRecord
from tidegate.features.evidence.labelling import LABELS
from tidegate.ports.store import Kind

EVIDENCE = Kind("evidence", StoredEvidence)
REPLAY = Kind("replay", ReplayRecord)
KINDS: tuple[Kind[Any], ...] = (
    EVIDENCE,
    REPLAY,
    LABELS,
)
