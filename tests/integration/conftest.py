"""A whole platform of the test module's own, and a user with boto3 on it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.testing.platform import Platform
from tidegate.testing.scene import Scene, train

STAND_IN = "test/stand-in"
"""Image of ``stand_in_model.py`` in the platform's table."""


def images(folder: Path) -> Path:
    program = Path(__file__).with_name("stand_in_model.py")
    table = folder / "images.yaml"
    table.write_text(f"images:\n  {STAND_IN}:\n    command: [{sys.executable}, {program}]\n")
    return table


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("images")
    with Platform(environment={"TIDEGATE_IMAGES": str(images(folder)), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    return Scene(platform)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """URLs of two small models."""
    folder = tmp_path_factory.mktemp("models")
    return train(folder, 1, features=4, trees=5), train(folder, 2, features=4, trees=5)


@pytest.fixture
def postgres_url(empty_postgres_url: str) -> str:
    """As an installation's first start finds it."""
    return empty_postgres_url
