"""The quickest exact way to a first answer: a model's trees in a file that is mapped into memory, not read.

The first replica of a serverless fleet loads its model as any replica does and then leaves the trees beside the
model data, compared with the library on probe rows (``planting``). Those after it answer from that file, without the
library of the model. What is not a forest is loaded as always.
"""

import mmap
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.serving.contract.images import RuntimeKind
from tidegate.serving.runtimes import choose, served
from tidegate.serving.runtimes.forest import Damaged, unpack
from tidegate.serving.runtimes.tabular_scorer import Table, default_accept
from tidegate.serving.runtimes.xgboost_document import NotCovered


def place(folder: Path) -> Path:
    """Where the forest of the model in this folder lies. An empty file says that the model is none."""
    return folder.with_name(folder.name + ".forest")


def opened(kind: RuntimeKind, folder: Path, environment: Mapping[str, str]) -> Table | None:
    """The scorer; None where there is no forest that can be used."""
    try:
        with place(folder).open("rb") as file:
            forest = unpack(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # type: ignore[arg-type]
    except (OSError, ValueError, Damaged):
        return None
    table: Table = served(forest, kind, environment, default_accept(environment))
    return table


def plant(kind: RuntimeKind, folder: Path, environment: Mapping[str, str]) -> None:
    """Leaves the forest for those that come later, if there is none yet and the model is one."""
    target = place(folder)
    try:
        if target.exists() or choose(kind, folder, environment) is not RuntimeKind.XGBOOST:
            return
        data = _planted(folder, environment)
        new = target.with_name(f"{target.name}.{os.getpid()}")
        new.write_bytes(data)
        new.replace(target)
    except (OSError, TidegateError) as error:
        print(f"the next start will not be quicker: {error}", flush=True)


def _planted(folder: Path, environment: Mapping[str, str]) -> bytes:
    xgboost: Any = import_module("tidegate.serving.runtimes.xgboost")
    planting: Any = import_module("tidegate.serving.runtimes.forest_builder")
    _, booster = xgboost.read(folder)
    try:
        data: bytes = planting.plant(
            booster, xgboost.features(booster, environment), xgboost.iterations(booster), ""
        )
    except NotCovered as why:
        print(f"starts load the model by its library: {why}", flush=True)
        return b""
    return data
