"""A folder of captures and a baseline, and looks at them."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tidegate.domain.drift import DriftOutcome, DriftSchedule, DriftTask
from tidegate.features.drift import analysis
from tidegate.features.drift.baseline import RowSample
from tidegate.rows.capture_paths import file_name, layout
from tidegate.rows.profile import Row

END = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
UUID = "00000000-0000-0000-0000-00000000000"

MakeRow = Callable[[random.Random], dict[str, Any]]


def usual(draw: random.Random) -> dict[str, Any]:
    return {
        "amount": draw.gauss(100, 10),
        "tenure": float(draw.randrange(40)),
        "country": draw.choice(("US", "US", "US", "DE", "IN")),
        "constant": 1.0,
        "prediction": draw.random(),
    }


def baseline(make: MakeRow = usual, rows: int = 3_000) -> dict[str, object]:
    draw, sample = random.Random(1), RowSample(random.Random(2).randrange)
    for _ in range(rows):
        row: Row = make(draw)
        sample.add(row, None)
    return sample.document()


def analyse(task: DriftTask) -> DriftOutcome:
    return analysis.analyse(task, random.Random(17).randrange)


def line(row: dict[str, Any], at: datetime, **about: Any) -> str:
    features = {name: value for name, value in row.items() if name != "prediction"}
    answer = json.dumps(row.get("prediction"))
    sides = {
        "endpointInput": {"data": json.dumps(features), "encoding": "JSON"},
        "endpointOutput": {"data": answer, "encoding": "JSON"},
    }
    moment = {"inferenceTime": at.isoformat().replace("+00:00", "Z"), "eventId": "e", **about}
    return json.dumps({"captureData": sides, "eventMetadata": moment, "eventVersion": "0"})


@dataclass
class Folder:
    root: Path

    @property
    def captures(self) -> Path:
        return self.root / "captures" / "fraud" / "main"

    def capture(self, lines: Sequence[str | bytes], began: datetime, number: int = 0) -> None:
        below = layout(file_name(began.timestamp(), f"{UUID}{number}"))
        assert below is not None
        path = self.captures / below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(one if isinstance(one, bytes) else one.encode() for one in lines) + b"\n")

    def rows(self, make: MakeRow = usual, count: int = 600, end: datetime = END, seed: int = 3) -> list[str]:
        draw = random.Random(seed)
        return [line(make(draw), end - WINDOW * (number + 1) / (count + 1)) for number in range(count)]

    def task(self, document: object = None, **changes: Any) -> DriftTask:
        path = self.root / "baseline.json"
        if document is not None:
            path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        schedule = DriftSchedule("fraud", path.as_uri(), END, by=("country",))
        task = DriftTask(
            schedule, (f"{self.captures.as_uri()}/",), END - WINDOW, END, 60, file_roots=(str(self.root),)
        )
        known = {name: value for name, value in changes.items() if hasattr(schedule, name)}
        more = {name: value for name, value in changes.items() if name not in known}
        return replace(task, schedule=replace(schedule, **known), **more)
