"""Models that are a container image of the user's: a plain server that knows nothing of tidegate.

Where there is no registry, an image that is there already is run with the server as its argument."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.lab import BETTER, FAILING, GOOD, SLOW, UNSTARTABLE
from tests.features.containers import container_app

COLUMN = "an image of yours"
"""Name of the column beside that of tidegate's own runtimes."""
VERSIONS: Mapping[str, Mapping[str, str]] = {
    GOOD: {"PREDICTION": "1"},
    BETTER: {"PREDICTION": "2"},
    FAILING: {"FAULT": "lies"},
    SLOW: {"FAULT": "late"},
    UNSTARTABLE: {"FAULT": "exits"},
}
PROGRAM = base64.b64encode(Path(container_app.__file__).read_bytes()).decode()
SERVER = f"exec(__import__('base64').b64decode('{PROGRAM}'))"
PLACES = {"port": 8000, "health": "/healthz", "predict": "/predict"}


def serve_in(image: str, python: str) -> Callable[[str], dict[str, Any]]:
    """Make the models of versions that run the server by the interpreter of an image."""

    def model(version: str) -> dict[str, Any]:
        given = {"container": image, "arguments": [python, "-c", SERVER], "environment": dict(VERSIONS[version])}
        return given | PLACES

    return model
