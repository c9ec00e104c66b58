"""What a version is, whatever it is called: the same models under another config name have the same digest."""

import hashlib
import json

from tidegate.model.fleet import VariantSpec
from tidegate.model.rollout import Version


def digest(version: Version) -> str:
    """Of everything that decides its answers: variants with their images, model data and environment. Counts,
    weights, instance types, names of models and configs, and shadows are left out."""
    content = [[v.name, _containers(v)] for v in sorted(version.production, key=lambda v: v.name)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _containers(variant: VariantSpec) -> list[object]:
    return [[c.image, c.data_url, c.fingerprint, sorted(c.environment.items())] for c in variant.model.containers]
