"""Identify a version by its content: the same models under another config name have the same digest."""

import hashlib
import json
from dataclasses import asdict

from tidegate.domain.fleet import VariantSpec
from tidegate.domain.rollout import Version


def digest(version: Version) -> str:
    """Digest of everything that decides the version's answers: images, model data and environment of its variants,
    how servers of the user's are reached, and how several containers are combined. Counts, weights, instance types,
    names of models and configs, and shadow variants do not count."""
    content = [[v.name, _containers(v)] for v in sorted(version.production, key=lambda v: v.name)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _containers(variant: VariantSpec) -> list[object]:
    model = variant.model
    each = [[c.image, c.data_url, c.fingerprint, sorted(c.environment.items())] for c in model.containers]
    reached = [asdict(c.upstream) for c in model.containers if c.upstream is not None]
    combined = [[model.execution_mode, *model.container_names]] if len(model.containers) > 1 else []
    return [*each, *reached, *combined]
