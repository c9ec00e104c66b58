"""The model of targets that run tidegate's own runtimes: a Python class whose behaviour its environment sets."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.conformance.local_lab import ENVIRONMENTS

IMAGE = "tidegate/python"
SOURCE = b"""
import os
import time

if os.environ.get("CRASH"):
    raise RuntimeError("the model needs a file that is not there")
FAILS = bool(os.environ.get("FAIL_EVERY"))
DELAY = int(os.environ.get("DELAY_MS", "0")) / 1000


class Model:
    def predict(self, body: bytes) -> tuple[bytes, str]:
        time.sleep(DELAY)
        if FAILS:
            raise RuntimeError("the model divided by zero")
        return b"%d" % len(body), "text/csv"
"""


def environment(version: str) -> Mapping[str, str]:
    return {"MODEL_HANDLER": "stand_in:Model", "SAGEMAKER_MODEL_SERVER_WORKERS": "32", **ENVIRONMENTS[version]}


def write_package(folder: Path) -> Path:
    """``model.tar.gz``."""
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("code/stand_in.py")
        member.size = len(SOURCE)
        archive.addfile(member, io.BytesIO(SOURCE))
    return path
