"""Names of what is created: the endpoint's name and a digest of the content, so equal content has one name."""

import hashlib
import json

from tidegate.targets.sagemaker import limits

LOG_GROUP = "/aws/sagemaker/Endpoints/"
"""The endpoint's name follows."""


def digest(content: object) -> str:
    """Hex SHA-256 of JSON data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def content_name(base: str, content: object) -> str:
    """``BASE-DIGEST12``, at most 63 characters.

    The digest covers the base as well: SageMaker's names do not differ by case, ours would otherwise collide for
    endpoints whose names do."""
    suffix = digest([base, content])[: limits.DIGEST]
    return f"{base[: limits.NAME - limits.DIGEST - 1].rstrip('-')}-{suffix}"
