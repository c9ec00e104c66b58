"""A Python environment of its own for each peer, made when it is missing: their requirements do not fit together."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def home() -> Path:
    """The folder of all environments: TIDEGATE_PEERS, or bench/.cache/peers."""
    return Path(os.environ.get("TIDEGATE_PEERS") or HERE.parent / ".cache" / "peers").absolute()


def environment(name: str) -> Path:
    """The folder of the programs of the peer's environment. CalledProcessError where pip does not get it done."""
    folder = home() / name
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"{name}: making its environment in {folder}", flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            requirements = HERE / "requirements" / f"{name}.txt"
            options = ("install", "--quiet", "--disable-pip-version-check", "-r", requirements)
            subprocess.run([python, "-m", "pip", *options], check=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # half an environment would pass for a whole one
            raise
    return python.parent
