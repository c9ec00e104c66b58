"""XGBoost models, scored in this process.

The model is the one ``.ubj`` or ``.json`` file of the model data, or a file named ``xgboost-model`` (the name in
AWS's container) of either content. Probabilities and values are the booster's own; a row of several classes is a
list. If onnxruntime is installed, it evaluates small batches of most models (``xgboost_onnx``).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import ArtifactError, Invalid

try:
    import msgspec
    import numpy as np
    import xgboost

    from tidegate.serving.formats import row_decoder
    from tidegate.serving.runtimes import categories, row_probes, ubjson, xgboost_checks
    from tidegate.serving.runtimes.error_messages import looks_like
    from tidegate.serving.runtimes.tabular_scorer import TabularScorer, default_accept, threads
    from tidegate.serving.runtimes.xgboost_document import NotCovered
except ImportError as missing:
    raise ArtifactError(
        f"XGBoost models need packages that are not installed ({missing.name}): pip install 'tidegate[xgboost]'"
    ) from None

try:
    from tidegate.serving.runtimes import xgboost_onnx
except ImportError:
    xgboost_onnx = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.placement import Placement

AWS_NAME = "xgboost-model"
TREES = "MODEL_TREES"
"""Environment variable: which trees of a model that was stopped early predict."""
BEST, ALL = "best", "all"
_REFUSED = (".xgb", ".model", ".bin", ".bst", ".pkl", ".pickle", ".joblib")
"""Suffixes of older or unsafe formats; a pickle is a program."""


class XGBoost(TabularScorer):
    """A ``batching.Scorer``; rows are float32, NaN stands for missing."""

    def __init__(
        self,
        booster: xgboost.Booster,
        accept: str | None,
        threads: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.booster = booster
        self._linear = is_linear(booster)
        self._iterations = iterations(booster)
        self._fast = self._faster(threads)
        super().__init__(self._evaluate, features(booster, environment), accept)
        self._one = None if self._fast is None else self._fast.one

    def _faster(self, threads: int) -> "xgboost_onnx.FastTrees | None":
        if xgboost_onnx is None or self._linear:
            return None
        try:
            return xgboost_onnx.faster(self.booster, self._iterations, threads)
        except NotCovered as why:
            print(f"evaluated by XGBoost itself, not by onnxruntime: {why}", flush=True)
            return None

    def _evaluate(self, rows: row_decoder.Matrix) -> Any:
        if self._fast is not None and len(rows) <= xgboost_onnx.MOST:
            return self._fast.rows(rows)
        if self._linear:
            return self.booster.predict(xgboost.DMatrix(rows, missing=np.nan), validate_features=False)
        return self.booster.inplace_predict(
            rows, iteration_range=self._iterations, missing=np.nan, validate_features=False
        )

    def move(self, placement: "Placement", threads: int, environment: Mapping[str, str]) -> None:
        """Predict on the device from now on. Raises ArtifactError if the answers would be others."""
        if self._linear:
            raise ArtifactError("a linear model (gblinear) runs on processors alone: leave out devices")
        predict = placement.guard(placement.library.predictor(self.booster, self._iterations, threads))
        placement.compare_rows(self._predict, predict, row_probes.matrix_pool(self._features.count))
        placement.find_rows(environment)
        self._predict, self._one = predict, None


class _Values(msgspec.Struct):
    values: list[int | float]
    offsets: list[int] | None = None
    """For text categories: where each begins in ``values``, the UTF-8 bytes."""


class _Categories(msgspec.Struct):
    enc: list[_Values]


class _Trees(msgspec.Struct):
    cats: _Categories | None = None


class _Booster(msgspec.Struct):
    model: _Trees | None = None
    gbtree: "_Booster | None" = None
    """Only in a dart model, whose trees are one level deeper."""


class _Learner(msgspec.Struct):
    gradient_booster: _Booster


class _Model(msgspec.Struct):
    learner: _Learner


_KINDS = {"int": row_decoder.ValueKind.WHOLE, "i": row_decoder.ValueKind.FLAG, "c": row_decoder.ValueKind.CATEGORY}
"""XGBoost's feature types; others are plain numbers."""


def features(booster: xgboost.Booster, environment: Mapping[str, str] | None = None) -> row_decoder.Features:
    """The model's columns, by its feature names and types. Raises ArtifactError for ambiguous categories, and Invalid
    for the environment."""
    types, names = booster.feature_types or [], booster.feature_names
    kinds = [row_decoder.ColumnType(_KINDS.get(name, row_decoder.ValueKind.NUMBER)) for name in types]
    if "c" in types:
        declared = categories.declared_categories(environment or {})
        saved = msgspec.json.decode(booster.save_raw("json"), type=prepare_type(_Model)).learner.gradient_booster
        model = saved.model if saved.gbtree is None else saved.gbtree.model
        lists = model.cats.enc if model is not None and model.cats is not None else []
        for number, (kind, values) in enumerate(zip(types, lists, strict=False)):
            if kind == "c" and (values.values or len(values.offsets or ()) > 1):
                name = names[number] if names else str(number)
                kinds[number] = row_decoder.ColumnType(
                    row_decoder.ValueKind.CATEGORY, _categories(name, values, declared.get(name))
                )
        _check_declared(declared, names or list(map(str, range(len(types)))), kinds)
    return row_decoder.Features(booster.num_features(), names, kinds)


def _check_declared(
    declared: Mapping[str, categories.Values], names: Sequence[str], kinds: Sequence[row_decoder.ColumnType]
) -> None:
    """Raises ArtifactError for a list that the file does not have: numbers would be codes all the same."""
    bare = [
        name
        for name, kind in zip(names, kinds, strict=True)
        if kind.kind is row_decoder.ValueKind.CATEGORY and not kind.listed
    ]
    wrong = [name for name in declared if name in bare or (bare and name not in names)]
    if wrong:
        raise ArtifactError(
            f"{categories.VARIABLE} names {wrong[0]!r}, and the model's file has no list of the categories of"
            f" {bare[0]!r}: requests send codes, so leave it out; or save the model with its categories by XGBoost"
            " 3.1 or later"
        )


def _categories(name: str, found: _Values, declared: categories.Values | None) -> categories.Values:
    values: categories.Values = tuple(found.values)
    if found.offsets is not None:
        data = bytes(int(value) & 255 for value in found.values)
        values = categories.of_bytes(name, data, found.offsets, declared)
    elif declared is not None and declared != values:
        raise ArtifactError(f"{categories.VARIABLE} does not agree with the model's categories of {name!r}")
    if len(set(values)) != len(values):
        raise ArtifactError(f"the model has a category of {name!r} twice; it is damaged")
    return values


def is_linear(booster: xgboost.Booster) -> bool:
    """Whether it is a gblinear model, for which XGBoost needs a DMatrix."""
    name: str = json.loads(booster.save_config())["learner"]["gradient_booster"]["name"]
    return name == "gblinear"


def load(model_dir: Path, environment: Mapping[str, str], placement: "Placement | None" = None) -> XGBoost:
    """Raises ArtifactError for model data without exactly one usable model, or that is another one on the device."""
    name, booster = read(model_dir)
    print_line(choose_trees(booster, environment))
    number = threads(environment)
    booster.set_param({"nthread": number})
    try:
        model = XGBoost(booster, default_accept(environment), number, environment)
        model.score([np.zeros((1, booster.num_features()), dtype=np.float32)])
        if placement is not None:
            model.move(placement, number, environment)
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ArtifactError(f"{name} was read but cannot predict: {first_line(error)}") from None
    return model


def iterations(booster: xgboost.Booster) -> tuple[int, int]:
    """The range of iterations: up to the best one after early stopping, as in XGBoost's estimators; a linear model
    has no choice."""
    best = None if is_linear(booster) else booster.attr("best_iteration")
    return (0, int(best) + 1) if best is not None else (0, 0)


def read(model_dir: Path) -> tuple[str, xgboost.Booster]:
    """Read the one model of the model data; returns the name of its file as well. Raises ArtifactError."""
    path = _find(model_dir)
    return path.name, _read(path)


def choose_trees(booster: xgboost.Booster, environment: Mapping[str, str], default: str = BEST) -> str:
    """Decide which trees predict if training was stopped early; for all of them, the booster forgets its best
    iteration. Returns a line for the log, if there is a choice. Raises Invalid for the environment."""
    chosen = environment.get(TREES) or default
    if chosen not in (BEST, ALL):
        raise Invalid(f"{TREES} must be {BEST!r} or {ALL!r}, not {chosen!r}")
    rounds, (_, best) = booster.num_boosted_rounds(), iterations(booster)
    if chosen == ALL:
        booster.set_attr(best_iteration=None)
    if not 0 < best < rounds:
        return ""
    if chosen == ALL:
        return (
            f"training was stopped early, and all {rounds} iterations predict; {TREES}={BEST} predicts by the {best}"
            " up to the best one"
        )
    return (
        f"training was stopped early, and the first {best} of {rounds} iterations predict, up to the best one;"
        f" {TREES}={ALL} predicts by all of them"
    )


def print_line(line: str) -> None:
    if line:
        print(line, flush=True)


def _find(folder: Path) -> Path:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for usable in ([p for p in files if p.suffix == ".ubj" or p.name == AWS_NAME], _with(files, ".json")):
        if len(usable) == 1:
            return usable[0]
        if usable:
            names = ", ".join(path.name for path in usable)
            raise ArtifactError(f"the model data has several XGBoost models ({names}); leave one")
    old = [path for path in files if path.suffix in _REFUSED]
    if old:
        raise ArtifactError(
            f"{old[0].name}: {old[0].suffix} files are not loaded (the format is old, or runs code when it is"
            " read); save the model as UBJSON with booster.save_model('model.ubj')"
        )
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise ArtifactError(f"the model data has no XGBoost model (.ubj, .json or {AWS_NAME}); found: {found}")


def _with(files: Sequence[Path], suffix: str) -> list[Path]:
    return [path for path in files if path.suffix == suffix]


def _read(path: Path) -> xgboost.Booster:
    data = path.read_bytes()
    if not data.lstrip()[:1] == b"{":
        raise ArtifactError(
            f"{path.name} is not an XGBoost model in UBJSON or JSON: it {looks_like(data)};"
            " save the model with booster.save_model('model.ubj')"
        )
    booster = xgboost.Booster()
    try:
        xgboost_checks.check(_json(data) if _is_json(data) else ubjson.parse(data))
        booster.load_model(bytearray(data))
        if not booster.num_features():
            raise ArtifactError(f"{path.name} is an XGBoost model without features")
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ArtifactError(f"{path.name} is not a whole XGBoost model: {first_line(error)}") from None
    return booster


def _json(data: bytes) -> Any:
    """Parse XGBoost's JSON, with NaN and Infinity."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return json.loads(data)


def _is_json(data: bytes) -> bool:
    """Whether a model is JSON, by XGBoost's rule: a brace followed by a name or by white space."""
    return data.lstrip()[1:2] in (b'"', b" ", b"\n", b"\r", b"\t", b"}")


def first_line(error: Exception) -> str:
    """The text of XGBoost's message, without its time, source line and stack trace."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.rpartition(": ")[2] if line.startswith("[") else line
