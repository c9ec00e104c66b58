"""The records that recommender keeps."""

from typing import Any

from tidegate.domain.recommendation import RecommendationJob
from tidegate.ports.store import Kind

RECOMMENDATION = Kind("recommendation", RecommendationJob)
KINDS: tuple[Kind[Any], ...] = (RECOMMENDATION,)
TAGGABLE: dict[str, Kind[Any]] = {"inference-recommendations-job": RECOMMENDATION}
"""By the type of the resource in its ARN."""
