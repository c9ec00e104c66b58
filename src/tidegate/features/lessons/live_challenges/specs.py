"""The specs of the live challenges: what each deploys, and which files it needs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tidegate.domain.errors import NotFound
from tidegate.domain.targets import LOCAL
from tidegate.features.lessons.live_challenges import drift, incident, peak, update
from tidegate.features.lessons.live_challenges.model_files import GROWTH, draw_rows, write_baseline, write_requests
from tidegate.features.lessons.live_challenges.progress import Challenge

NAMES = ("drift", "peak", "update", "incident")
IMAGE = "tidegate/xgboost"
ROWS = 2_000
"""Different requests that are sent in turn."""
BASELINE = "baseline.json"


@dataclass(frozen=True)
class Places:
    """Addresses: of the folder of the run's files, and of the one for what is captured."""

    files: str
    captures: str
    capture_seconds: int


def find_challenge(name: str, capture_seconds: int) -> Challenge:
    """Raises NotFound."""
    if name == "drift":
        return drift.make_challenge(capture_seconds)
    found = {"peak": peak.CHALLENGE, "update": update.CHALLENGE, "incident": incident.CHALLENGE}.get(name)
    if found is None:
        raise NotFound(f"there is no challenge {name[:40]!r}: they are {', '.join(NAMES)}")
    return found


def describe_files(challenge: Challenge) -> dict[str, bytes]:
    """Name -> content."""
    chance = Random(f"challenge {challenge.name}")
    usual = draw_rows(chance, ROWS)
    files = {f"{version}.json": content for version, content in challenge.versions.items()}
    files["usual.jsonl"] = write_requests(usual)
    if challenge.name == "drift":
        files["shifted.jsonl"] = write_requests(draw_rows(chance, ROWS, GROWTH))
        files[BASELINE] = write_baseline(draw_rows(chance, drift.BASELINE_ROWS), chance)
    return files


def describe_spec(name: str, endpoint: str, version: str, places: Places, target: float | None) -> dict[str, Any]:
    """The spec of one version, as ``tidegate deploy`` takes it."""
    spec: Mapping[str, Any] = {
        "endpoint": endpoint,
        "target": LOCAL,
        "model": {"image": IMAGE, "data": f"{places.files}/{version}.json"},
    }
    if name == "drift":
        return drift.describe_spec(
            spec,
            captures=places.captures,
            baseline=f"{places.files}/{BASELINE}",
            capture_seconds=places.capture_seconds,
        )
    if name == "peak":
        return peak.describe_spec(spec, target)
    return update.describe_spec(spec) if name == "update" else incident.describe_spec(spec)
