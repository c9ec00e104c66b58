"""The parts of a trained example: requests, versions and their data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

VERSIONS = ("v1", "better", "worse")
"""``worse`` answers every request as fast as the others and in the same form: only its answers tell."""
TEXT = "text"
"""As evidence: answers are compared as texts, by their length among others."""
BEFORE = {"v1": "v1", "better": "v1", "worse": "better"}
"""What serves when a version comes."""


@dataclass(frozen=True)
class SampleRequest:
    """A request as a client sends it. ``expected``: what turned out to be true, where that is one value. ``file``, a
    path below the example's folder, takes the place of ``body``."""

    body: str
    content_type: str = "text/csv"
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: str = ""
    file: str = ""


@dataclass(frozen=True)
class TrainedVersion:
    """One trained version of an example. ``data``: paths below the example's folder, as ``tidegate plan --model``
    takes them (``NAME=`` in front where there are several containers). ``quality``: measures on held-out data;
    ``moved`` is the part of predictions that moved across a quantile of the version before."""

    about: str
    data: Sequence[str]
    quality: Mapping[str, float]


@dataclass(frozen=True)
class TrainedExample:
    """An example once it is trained. ``measure``: the key of ``quality`` that ranks versions; higher is better.
    ``rows`` says what it was measured on. ``evidence``: the part of predictions that a mere retraining may move, such
    as 25%, with which ``worse`` is compared, or ``text``: it is compared as a model that writes; empty: its rollout
    compares nothing. ``inputs``: a file for a batch job, below the folder. ``table``: held-out rows with their labels
    as lines of CSV, names first, for ``tidegate compare``. ``environment``: of each container."""

    measure: str
    rows: str
    versions: Mapping[str, TrainedVersion]
    requests: Sequence[SampleRequest]
    evidence: str = ""
    inputs: str = ""
    table: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
