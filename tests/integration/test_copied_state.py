"""A controller on a copy of a live state folder: it serves by itself, and the original does not notice."""

import shutil
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.integration.test_local_restart import ROW, _served, load, workers
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def everything(platform: Platform) -> set[int]:
    return {process.pid for process in platform.processes()}


def test_a_controller_on_a_copy_leaves_the_original_alone(models: tuple[str, str]) -> None:
    with Platform() as platform, tempfile.TemporaryDirectory(prefix="tg-") as folder:
        scene = Scene(platform)
        scene.create("fraud", scene.config(models[0], instances=2))
        before = everything(platform)
        copied = Platform(state=Path(folder) / "copy")
        with load(platform, "fraud") as running:
            shutil.copytree(platform.state, copied.state, ignore=shutil.ignore_patterns("*.sock"))
            try:
                copied.start()
                wait_until(lambda: len(workers(copied)) == 2, "the copy has workers of its own")
                wait_until(lambda: _served(Scene(copied)), "the copy serves")
                assert not workers(copied) & before
            finally:
                assert copied.stop(keep=True) == []
            report = running.stop()
        assert report.failed == 0, report.failures[:3]
        assert before <= {process.pid for process in psutil.process_iter()}
        assert scene.invoke("fraud", ROW)["Body"].read()
        assert platform.stop(keep=True) == []
