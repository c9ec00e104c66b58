"""Whether an endpoint, an asynchronous request or a transform job answers what the library itself predicts.

    python -m bench.exactness [--models 20] [--rows 500] [--seed 1] [--only XGBoost] [--keep]

For each runtime random models over random tables: columns of every type the runtime knows, names and categories that
are easily misread ("1", "nan", "", a comma), gaps, sizes from 1e-30 to 1e15. The same rows are sent in every form;
each answer is compared with the prediction that the library gives in this process for the data frame. A row is wrong
where the answer differs by more than 2 in a million, or is missing; a request that is refused is counted apart. Forms
whose lines are rows are also read as a transform job reads them, and in blocks, as large bodies are.
"""

import argparse
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import tables
from bench.exact import bodies
from bench.exact.models import MAKERS, Case
from bench.exact.schemas import frame
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.body_spool import LargeCall, Spool
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.scoring.batching import score_requests
from tidegate.serving.scoring.chunked_scoring import answer_blocks
from tidegate.serving.scoring.file_ranges import Records
from tidegate.serving.scoring.thread_engine import Handler

CLOSE = 2e-6
"""Largest difference, relative to values above 1: XGBoost's small batches are summed by onnxruntime."""
CLOSE_OF = {RuntimeKind.PYTORCH: 1e-5}
"""What a network's answer may differ by in a batch (docs/runtimes.md); 3e-6 was seen."""
BLOCK = 3000
"""Bytes."""


@dataclass
class Tally:
    rows: int = 0
    right: int = 0
    wrong: int = 0
    refused: int = 0
    largest: float = 0.0
    notes: Counter[str] = field(default_factory=Counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20, help="of each runtime")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a runtime's name")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    found: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for name in [name for name in MAKERS if given.only in ("", name)]:
        for number in range(given.models):
            with tempfile.TemporaryDirectory(prefix="exact-") as folder:
                for form, tally in compare(name, Path(folder), given.seed + number, given.rows):
                    _add(found[name, form], tally)
    header = ["runtime", "forms", "rows", "right", "wrong", "refused", "largest difference"]
    tables.show("exactness", "Answers against the library in process", header, _by_runtime(found), keep=given.keep)
    for (name, form), tally in found.items():
        for note, count in tally.notes.most_common(3):
            print(f"{name}, {form}: {count} x {note}")
    raise SystemExit(any(tally.wrong for tally in found.values()))


def compare(name: str, folder: Path, seed: int, rows: int) -> Iterator[tuple[str, Tally]]:
    """One random model of a runtime: form -> how its answers are."""
    random = np.random.default_rng(seed)
    case = MAKERS[name](random, folder, None)
    yield from compare_case(case, frame(case.columns, rows, random))


def compare_case(case: Case, table: pd.DataFrame) -> Iterator[tuple[str, Tally]]:
    try:
        # Without the trial that some models get in a process of their own first.
        model = import_module(f"tidegate.serving.runtimes.{case.kind.value}").load(case.folder, case.environment)
    except ArtifactError as error:
        yield "not loaded", Tally(len(table), refused=len(table), notes=Counter([error.message]))
        return
    expected = np.asarray(case.expected(table))
    for form, (content_type, body) in forms(case, table).items():
        ways = [""]
        if form in bodies.by_lines(_rows(case, table), None) and not isinstance(model, Handler):
            ways = ["", ", transform job", ", in blocks"]
        for way in ways:
            yield form + way, judge(model, body, content_type, way, expected, CLOSE_OF.get(case.kind, CLOSE))


def forms(case: Case, table: pd.DataFrame) -> dict[str, bodies.Body]:
    names = [column.name for column in case.columns] if case.named else None
    rows = _rows(case, table)
    found = {**bodies.documents(rows, names), **bodies.by_lines(rows, names)}
    if case.tables:
        found |= bodies.arrays(table, case.columns) | bodies.tables(table, case.named)
    if not case.tables:  # MLflow's scoring server has no JSON Lines, and lists only under a name
        found = {form: sent for form, sent in found.items() if "lines" not in form and form != "json, a list"}
    return found


def _rows(case: Case, table: pd.DataFrame) -> list[list[Any]]:
    return bodies.cells(table, case.columns, case.truths)


def judge(model: Any, body: bytes, content_type: str, way: str, expected: Any, close: float) -> Tally:
    tally = Tally(rows=len(expected))
    try:
        answer = ask(model, body, content_type, way)
    except ModelFailed as failed:
        tally.refused = len(expected)
        tally.notes[f"{failed.status} {failed.message}"] += 1
        return tally
    found = bodies.answers(answer.body, answer.content_type)
    if found.shape != expected.shape:
        tally.wrong = len(expected)
        tally.notes[f"shape {found.shape} for {expected.shape}"] += 1
        return tally
    off = difference(found, expected)
    tally.right = int((off <= close).sum())
    tally.wrong = len(expected) - tally.right
    tally.largest = float(np.max(off))
    return tally


def difference(found: Any, expected: Any) -> Any:
    """Of each row; infinite where one is a number and the other is none."""
    if expected.dtype.kind not in "fiub":
        return np.where(found == expected, 0.0, np.inf)
    found, expected = (np.asarray(one, np.float64).reshape(len(expected), -1) for one in (found, expected))
    off = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    off[(found == expected) | (np.isnan(found) & np.isnan(expected))] = 0
    return np.nan_to_num(off, nan=np.inf).max(axis=1)


def ask(model: Any, body: bytes, content_type: str, way: str = "") -> Answer:
    """Raises ModelFailed."""
    headers = {b"content-type": content_type.encode()}
    if isinstance(model, Handler):
        return _by_handler(model, Call(body, headers))
    if way == ", in blocks":
        with tempfile.TemporaryDirectory() as folder:
            spool = Spool(Path(folder))
            spool.add(body)
            outcome: Any = answer_blocks(model, LargeCall(spool, headers), spool, BLOCK)
            return Answer(*outcome)
    scorer = Records(model) if way else model
    call = Call(body, headers)
    [scores] = score_requests(scorer, [scorer.parse(call)])
    return Answer(*scorer.render(scores, call))


def _by_handler(model: Any, call: Call) -> Answer:
    """As ``FallbackEngine`` asks it."""
    native = getattr(model, "native", None)
    if native is not None:
        try:
            [scores] = score_requests(native, [native.parse(call)])
            return Answer(*native.render(scores, call))
        except ModelFailed:
            pass
    return Answer(*model.answer(call))


def _add(total: Tally, tally: Tally) -> None:
    total.rows += tally.rows
    total.right += tally.right
    total.wrong += tally.wrong
    total.refused += tally.refused
    total.largest = max(total.largest, tally.largest)
    total.notes += tally.notes


_GROUPS = {"not loaded": "not loaded", "csv": "CSV", "json": "JSON", "json lines": "JSON Lines", "npy": "NPY"}


def _by_runtime(found: dict[tuple[str, str], Tally]) -> list[list[object]]:
    """Forms of one content type together."""
    groups: dict[tuple[str, str], tuple[Tally, list[str]]] = {}
    for (name, form), tally in found.items():
        kind = form.partition(",")[0]
        total, several = groups.setdefault((name, _GROUPS.get(kind, "parquet, Arrow")), (Tally(), []))
        _add(total, tally)
        several.append(form)
    return [
        [name, f"{kind} ({len(several)})", f"{t.rows:,}", f"{t.right:,}", t.wrong, t.refused, f"{t.largest:.1e}"]
        for (name, kind), (t, several) in groups.items()
    ]


if __name__ == "__main__":
    main()
