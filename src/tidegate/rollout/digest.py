"""What a version is, whatever it is called: the same models under another config name have the same digest."""

import hashlib
import json

from tidegate.domain.fleet import VariantSpec
from tidegate.domain.rollout import Version


def digest(version: Version) -> str:
    """Of everything that decides its answers: variants with their images, model data and environment, and how
    several containers answer together. Counts, weights, instance types, names of models and configs, and shadows
    are left out."""
    content = [[v.name, _containers(v)] for v in sorted(version.production, key=lambda v: v.name)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _containers(variant: VariantSpec) -> list[object]:
    model = variant.model
    shown = [[c.image, c.data_url, c.fingerprint, sorted(c.environment.items())] for c in model.containers]
    together = [[model.execution_mode, *model.container_names]] if len(model.containers) > 1 else []
    return [*shown, *together]
