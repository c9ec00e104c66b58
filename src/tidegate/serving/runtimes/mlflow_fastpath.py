"""MLflow models of numbers without pandas: calls the flavour's own model as ``pyfunc`` would.

Only for models whose signature has numbers only, and whose answers agree with pyfunc's on probe rows at load.
Requests of other forms, and those that fail here, go to pyfunc, so that clients get the same answers and errors.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.answer_counts import split_answers
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.formats import dataframes, rounding, row_decoder
from tidegate.serving.formats.dataframes import Signature
from tidegate.serving.formats.exact_cast import cast
from tidegate.serving.formats.json_rows import RowParser
from tidegate.serving.scoring.file_ranges import FIRST
from tidegate.transform.csv_lines import split_lines

Matrix = NDArray[np.floating[Any]]
Predict = Callable[[Matrix], Any]
Ask = Callable[[Call], Answer]

PROBES = 32
"""Rows of each kind."""
CLOSE = 1e-6
_EXACT = 2.0**53
"""Integers beyond it are not exact in float64."""
_OTHER = ModelFailed(400, "This is for pyfunc.")
_PREDICTIONS = msgspec.json.Decoder()


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    data: list[list[float | None]]
    columns: list[str] | UnsetType = UNSET


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    dataframe_split: _Split | UnsetType = UNSET
    dataframe_records: list[dict[str, float | None]] | UnsetType = UNSET
    instances: list[list[float | None] | dict[str, float | None]] | UnsetType = UNSET
    inputs: list[list[float | None] | dict[str, float | None]] | UnsetType = UNSET


class _SignatureRows:
    """Parses requests by a signature of numbers: rows in the model's order, as precise as in pyfunc's frame. Methods
    raise ModelFailed for what they leave to pyfunc."""

    def __init__(self, signature: Signature) -> None:
        """Raises ValueError for a signature of anything but numbers."""
        kinds = (
            [column.kind for column in signature.columns] if all(c.required for c in signature.columns) else [""]
        )
        if signature.tensors:
            [tensor] = signature.tensors  # ValueError where there are several
            if len(tensor.shape) != 2 or tensor.shape[0] != -1 or tensor.shape[1] < 1:
                raise ValueError("the tensor is no table")
            kinds = [
                {"float32": "float", "float64": "double"}.get(str(np.dtype(tensor.dtype)), "")
            ] * tensor.shape[1]
        if not kinds or not set(kinds) <= {"double", "float", "long", "integer"}:
            raise ValueError("not all columns are numbers")
        self.names = [column.name for column in signature.columns]
        """Empty for a tensor."""
        self.whole = [at for at, kind in enumerate(kinds) if kind in ("long", "integer")]
        self.width = len(kinds)
        self._single = [at for at, kind in enumerate(kinds) if kind == "float"]
        self._limit = 2.0**31 if "integer" in kinds else _EXACT
        self._decode = msgspec.json.Decoder(prepare_type(_Plain)).decode
        self._layout = RowParser(self.width, self.names, free=False)

    def read(self, body: bytes, content_type: str, records: bool = False) -> Matrix:
        """``records``: every line of a CSV is a row."""
        kind = content_type.partition(";")[0].strip().lower() or row_decoder.JSON
        if kind == row_decoder.CSV and ";" in content_type:
            raise _OTHER  # a parameter may declare a header
        try:
            rows = (
                self._json(body)
                if kind == row_decoder.JSON
                else self._csv(body, records)
                if kind == row_decoder.CSV
                else []
            )
            found = np.array(rows, np.float64)
        except (msgspec.DecodeError, ValueError, TypeError, LookupError):
            raise _OTHER from None
        if found.ndim != 2 or found.shape[1] != self.width:
            raise _OTHER
        return self._check(found)

    def _json(self, body: bytes) -> Sequence[Sequence[float | None]]:
        asked = self._decode(body)
        forms = [asked.dataframe_split, asked.dataframe_records, asked.instances, asked.inputs]
        [form] = [each for each in forms if each is not UNSET]
        if isinstance(form, _Split):
            self._distinct(body, 2 if form.columns is UNSET else 3)
            if not self.names or form.columns is UNSET or form.columns != self.names:
                return [[row[at] for at in self._order(form.columns or [])] for row in self._align(form)]
            return form.data
        self._distinct(body, 1 + sum(len(row) for row in form if isinstance(row, dict)))
        if form and isinstance(form[0], dict):
            if not self.names or any(len(row) != self.width for row in form):
                raise _OTHER
            return [[row[name] for name in self.names] for row in form]  # type: ignore[call-overload]
        return form  # type: ignore[return-value]

    @staticmethod
    def _distinct(body: bytes, keys: int) -> None:
        """Raises if there are more colons than keys: a key may occur twice."""
        if body.count(b":") != keys:
            raise _OTHER

    def _order(self, columns: list[str]) -> list[int]:
        if not self.names or sorted(columns) != sorted(self.names):
            raise _OTHER
        return [columns.index(name) for name in self.names]

    def _align(self, form: _Split) -> list[list[float | None]]:
        if any(len(row) != self.width for row in form.data):
            raise _OTHER
        return form.data

    def _csv(self, body: bytes, records: bool) -> Sequence[Sequence[float]]:
        if b'"' in body or b"_" in body or b"\r" in body or not body.isascii() or not self.names:
            raise _OTHER
        lines = [line.split(b",") for line in split_lines(body)]
        rows = [[float(text) if text.strip() else math.nan for text in line] for line in lines[1:]]
        first = [text.decode() for text in lines[0]] if lines else []
        if not records and set(first) & set(self.names):
            if self._layout.numbered:
                raise _OTHER  # a header, or a row that looks like one
            order = self._order(first)
            if any(len(row) != self.width for row in rows):
                raise _OTHER
            return [[row[at] for at in order] for row in rows]
        return [[float(text) if text.strip() else math.nan for text in lines[0]], *rows]

    def _check(self, rows: Matrix) -> Matrix:
        if self.whole:
            some = rows[:, self.whole]
            if not (np.abs(some) < self._limit).all() or (some != np.trunc(some)).any():
                raise _OTHER
        if not self.names and np.isnan(rows).any():
            raise _OTHER  # a tensor has no null
        with np.errstate(over="ignore"):
            if len(self._single) == self.width:
                return rows.astype(np.float32)
            rows[:, self._single] = rows[:, self._single].astype(np.float32)
        return rows


class Native:
    """A ``batching.Scorer``."""

    def __init__(self, rows: _SignatureRows, predict: Predict, batches: bool = True) -> None:
        self.batches = batches
        self._rows = rows
        self._predict = predict

    def parse(self, call: Call) -> Matrix:
        return self._rows.read(call.body, call.content_type, FIRST in call.headers)

    def count(self, scores: Any) -> int:
        """Number of answers; for a table of outputs that of the shortest."""
        return min(map(len, scores.values())) if isinstance(scores, dict) else len(scores)

    def size(self, rows: Matrix) -> int:
        return len(rows)

    def score(self, requests: Sequence[Matrix]) -> Sequence[Any]:
        try:
            if len(requests) == 1:
                return [self._predict(requests[0])]
            return split_answers(self._predict(np.concatenate(requests)), list(map(len, requests)))
        except Exception:  # pyfunc may accept it, or gives the error
            raise _OTHER from None

    def score_again(self, rows: Matrix) -> Any:
        return self._predict(rows.copy())

    def difference(self, rows: Matrix, alone: Any, batched: Any) -> str:
        return rounding.difference(self._predict, rows, alone, batched, 0.0)

    def render(self, scores: Any, call: Call) -> Answer:
        return dataframes.write(scores)


def find(model: Any, signature: Signature, ask: Ask, threads: int) -> Native | None:
    """Find a scorer that answers as pyfunc does, without pandas; None if there is none. ``model`` is MLflow's,
    ``ask`` calls pyfunc."""
    try:
        rows = _SignatureRows(signature)
    except ValueError:
        return None
    probes = list(_probes(rows))
    expected = [_ask(ask, probe) for probe in probes]
    for predict, batches in _candidates(model, threads):
        native = Native(rows, predict, batches)
        verdicts = [_agrees(native, probe, wanted) for probe, wanted in zip(probes, expected, strict=True)]
        if verdicts[0] and False not in verdicts:
            return native
    return None


def find_change(signature: Signature, ask: Ask, example: bytes | None) -> str:
    """How pyfunc's answer to the same request changes with the requests in between; empty if it does not, or if
    nothing is known of what the model takes. ``example``: the body of a request from the model data."""
    bodies = [] if example is None else [example]
    bodies += [
        msgspec.json.encode(made) for seed in range(4) if (made := _make_example(signature, seed)) is not None
    ]
    probes = [Call(body, {b"content-type": row_decoder.JSON.encode()}) for body in bodies]
    answers = [_ask(ask, probe) for probe in (*probes[:1], *probes)]
    again = [_ask(ask, probe) for probe in probes]
    for before, after in zip(answers, (*again[:1], *again), strict=True):
        if before is not None and not _near(after, before):
            return "its answer to the same request is another one each time"
    return ""


def _make_example(signature: Signature, seed: int) -> dict[str, Any] | None:
    """A request of three rows by a model's signature; None where that says nothing of them."""
    random = np.random.default_rng(seed)
    size = 10.0 ** (seed - 1)
    made: dict[str, Callable[[], Any]] = {
        "double": lambda: float(random.normal()) * size,
        "float": lambda: float(random.normal()) * size,
        "long": lambda: int(random.integers(0, 10)),
        "integer": lambda: int(random.integers(0, 10)),
        "boolean": lambda: bool(random.random() < 0.5),
        "string": lambda: str(random.choice(["a", "b", "c"])),
    }
    if signature.columns and all(column.kind in made for column in signature.columns):
        rows = [[made[column.kind]() for column in signature.columns] for _ in range(3)]
        return {"dataframe_split": {"columns": [column.name for column in signature.columns], "data": rows}}
    if not signature.tensors or any(np.dtype(one.dtype).kind not in "fiu" for one in signature.tensors):
        return None
    arrays = {}
    for one in signature.tensors:
        shape = [3 if side < 0 else side for side in one.shape]
        whole = np.dtype(one.dtype).kind != "f"
        arrays[one.name] = (random.integers(0, 2, shape) if whole else random.normal(size=shape) * size).tolist()
    return {"inputs": arrays if signature.tensors[0].name else next(iter(arrays.values()))}


def _candidates(model: Any, threads: int) -> Iterator[tuple[Predict, bool]]:
    """Candidates by flavour, and whether they take rows of several requests. They may raise anything and be wrong,
    which the probes will show."""
    inner = model._model_impl
    flavour = type(inner).__name__
    if flavour == "_OnnxModelWrapper" and len(inner.inputs) == 1:
        [(name, kind)] = inner.inputs

        def run(rows: Matrix) -> dict[str, Any]:
            given = rows.astype(np.float64 if "double" in kind else np.float32)
            return dict(zip(inner.output_names, inner.rt.run(inner.output_names, {name: given}), strict=True))

        yield run, False
        yield lambda rows: _records(run(rows)), False
    elif flavour in ("_SklearnModelWrapper", "_XGBModelWrapper", "_LGBModelWrapper"):
        raw = model.get_raw_model()
        for probabilities in _find_boosters(raw, threads):
            yield probabilities, True
            yield _labels(probabilities, getattr(raw, "classes_", np.arange(2))), True
        # The names were checked, and are in the model's order.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        # Any code, such as a mean over the rows: it gets one request at a time, as with pyfunc.
        yield getattr(raw, getattr(model._predict_fn, "__name__", "predict")), False


def _find_boosters(raw: Any, threads: int) -> Iterator[Predict]:
    """The booster inside a tree model: the model's own class adds milliseconds."""
    library = type(raw).__module__.partition(".")[0]
    if library == "xgboost" and math.isnan(
        getattr(raw, "missing", math.nan)
    ):  # otherwise another number also means missing
        booster = raw if hasattr(raw, "inplace_predict") else raw.get_booster()
        booster.set_param({"nthread": threads})
        from tidegate.serving.runtimes.xgboost import XGBoost  # noqa: PLC0415  # needs XGBoost

        try:
            table = XGBoost(booster, None, threads)
        except ArtifactError:  # it has categories, which are left to pyfunc
            return
        yield lambda rows: table.score([cast(rows, np.float32)])[0]
    elif library == "lightgbm":
        core = getattr(raw, "booster_", raw)
        yield lambda rows: core.predict(rows, num_threads=threads)


def _labels(probabilities: Predict, classes: Any) -> Predict:
    def predict(rows: Matrix) -> Any:
        found = probabilities(rows)
        return classes[found.argmax(axis=1) if found.ndim == 2 else (found > 0.5).astype(int)]

    return predict


def _records(found: dict[str, Any]) -> list[dict[str, Any]]:
    columns = [values.reshape(-1).tolist() for values in found.values()]
    return [dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True)]


def _probes(rows: _SignatureRows) -> Iterator[Call]:
    """Requests of each form: rows of all sizes, one row, rows with a missing value, and zeros."""
    random = np.random.default_rng(0)
    shape = (PROBES, rows.width)
    usual = random.normal(size=shape) * 10.0 ** random.integers(-3, 5, (PROBES, 1))
    gaps = np.where(random.random(shape) < 0.2, np.nan, usual)
    small = random.normal(size=shape)
    for some in (small, usual, gaps, gaps[:1], small[:1], np.zeros((1, rows.width))):
        some[:, rows.whole] = np.trunc(np.nan_to_num(some[:, rows.whole]))
        listed = [
            [None if math.isnan(v) else int(v) if at in rows.whole else v for at, v in enumerate(row)]
            for row in some.tolist()
        ]
        if rows.names:
            named = [dict(zip(rows.names, row, strict=True)) for row in listed]
            yield _call({"dataframe_split": {"columns": rows.names, "data": listed}})
            yield _call({"dataframe_records": named})
            yield _call({"instances": named})
        yield _call({"instances": listed})
        yield _call({"inputs": listed})


def _call(asked: object) -> Call:
    return Call(msgspec.json.encode(asked), {b"content-type": row_decoder.JSON.encode()})


def _ask(ask: Ask, probe: Call) -> Any:
    """Pyfunc's prediction; None if it rejects the request."""
    try:
        return _PREDICTIONS.decode(ask(probe).body)
    except Exception:
        return None


def _agrees(native: Native, probe: Call, wanted: Any) -> bool | None:
    """Whether its answer equals ``wanted``; None if it leaves the request to pyfunc."""
    try:
        rows = native.parse(probe)
        [found] = native.score([rows])
        if native.batches and not (isinstance(found, np.ndarray) and len(found) == len(rows)):
            return False
        answer = _PREDICTIONS.decode(native.render(found, probe).body)
    except ModelFailed:
        return None
    except TypeError:  # not JSON
        return False
    return wanted is not None and _near(answer, wanted)


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return type(one) is type(other) and bool(one == other)
