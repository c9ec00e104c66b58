"""Trains an example for the console's lab. Runs in a process of its own (``python -m
tidegate.features.examples.training_process``): it takes seconds of processor time, and libraries
that the server does not have.

Reads a ``TrainingRequest`` as JSON from stdin; writes ``{"error": ...}`` to stdout, with an empty text if all is
well.
"""

import hashlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.examples.catalogue import find_example
from tidegate.features.examples.folder import make_example
from tidegate.host.parent_process import end_with
from tidegate.prices import Catalogue
from tidegate.spec.units import duration

NICENESS = 10
HOUR = 3600.0
"""Seconds of a bake in the plan."""
SCALE = 0.3
"""Part of the example's rows: enough to tell the versions apart, and soon done."""
SHORT = 60.0
"""Seconds of a period in which a percentile says little."""


class TrainingRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``bake``: seconds of each stage's bake. ``prices``: a folder of prices; None: those that come with tidegate."""

    parent: int
    example: str
    folder: str
    endpoint: str
    tags: dict[str, str]
    bake: float
    prices: str | None = None


def train(asked: TrainingRequest) -> None:
    """Raises Invalid where a package is missing."""
    prices = Catalogue.load(Path(asked.prices) if asked.prices else None)
    make_example(
        find_example(asked.example),
        Path(asked.folder),
        prices,
        speed=HOUR / asked.bake,
        scale=SCALE,
        adapt=partial(adapt_spec, endpoint=asked.endpoint, tags=asked.tags),
    )


def adapt_spec(spec: dict[str, Any], endpoint: str, tags: dict[str, str]) -> dict[str, Any]:
    """For an endpoint that is thrown away: as many instances at all hours, and no alarm on a percentile of few
    requests, which other work on the machine would fire."""
    kept = {
        name: one
        for name, one in spec["alarms"].items()
        if not (one["statistic"].startswith("p") and duration(one["period"], ()) < SHORT)
    }
    changed = {**spec, "endpoint": endpoint, "tags": {**spec["tags"], **tags}, "alarms": kept}
    changed.pop("autoscaling", None)
    # With a fingerprint of its own a spec has the same names wherever it is read: a command adds none.
    changed["model"] = {**spec["model"], "fingerprint": _compute_fingerprint(spec["model"]["data"])}
    return changed


def _compute_fingerprint(address: str) -> str:
    data = Path(unquote(urlsplit(address).path)).read_bytes()
    return f"sha256-{hashlib.sha256(data).hexdigest()[:16]}"


def main() -> None:
    told = ""
    try:
        asked = msgspec.json.decode(sys.stdin.buffer.read(), type=prepare_type(TrainingRequest))
        end_with(asked.parent)
        os.nice(NICENESS)
        train(asked)
    except TidegateError as error:
        told = error.message
    except msgspec.MsgspecError as error:
        told = Invalid(f"what to train: {error}").message
    json.dump({"error": told}, sys.stdout)


if __name__ == "__main__":
    main()
