"""scikit-learn models, scored in this process by ``predict``, or by the method in ``SKLEARN_METHOD`` of the
environment; a model that only transforms (a scaler as a stage of a pipeline, for example) by ``transform``. Rows are
float64, as in a notebook; if columns are text or booleans (``sklearn_columns``), the model gets a pandas DataFrame
with the names and types that it was fitted with.

The model is the one ``.skops`` file of the model data. skops checks its types and ``sklearn_checks`` its decision
trees; gradient boosting needs trust. A pickle (``.joblib``, ``.pkl``, ``.pickle``) can run any code when it is read:
it needs ``TIDEGATE_TRUST=pickle`` in the container's environment, and so do other types in a ``.skops``.

Requests are scored together if the model consists of scikit-learn's own estimators (``sklearn_independence``) and no
probe contradicts it (``row_probes``). What the probes found is kept for later starts (``kept_verdict``), unless
reading the model may have run code: then its bytes do not say all that it is.
"""

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.artifacts import zip_limits
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.contract.trust import PICKLE, TRUST, trusts

try:
    import joblib
    import numpy as np
    import sklearn

    from tidegate.serving.formats import row_decoder
    from tidegate.serving.formats.typed_rows import Columns, TypedInput, TypedRows
    from tidegate.serving.runtimes import (
        kept_verdict,
        row_probes,
        sklearn_boosters,
        sklearn_checks,
        sklearn_columns,
        sklearn_independence,
    )
    from tidegate.serving.runtimes.error_messages import cause
    from tidegate.serving.runtimes.optional_imports import hide_packages
    from tidegate.serving.runtimes.tabular_scorer import TabularScorer, default_accept, only, threads
    from tidegate.serving.runtimes.typed_scorer import ColumnTable
    from tidegate.serving.scoring.batching import cap

    # skops imports all modules of scikit-learn to list its estimators; these modules would import tensor libraries.
    with hide_packages(
        [f"{sklearn.__name__}.externals.array_api_compat.{library}" for library in ("torch", "dask", "cupy")]
    ):
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException
except ImportError as missing:
    raise ArtifactError(
        f"scikit-learn models need packages that are not installed ({missing.name}): pip install 'tidegate[sklearn]'"
    ) from None

_TRIAL = 0.1
"""Seconds of the probes of a model of scikit-learn's own estimators."""
_PICKLES = (".joblib", ".pkl", ".pickle")


METHOD = "SKLEARN_METHOD"
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")


def load(model_dir: Path, environment: Mapping[str, str]) -> TabularScorer:
    """Raises ArtifactError for model data without exactly one usable model, or with a pickle without trust."""
    trusted = trusts(environment, PICKLE)
    threads(environment)
    accept = default_accept(environment)
    seen = kept_verdict.identify(model_dir)
    model, plain = _read(only(model_dir, "scikit-learn model", (".skops", *_PICKLES)), trusted)
    files = _ModelFiles(model_dir, environment, seen if plain else None)
    score = _method(model, environment.get(METHOD, ""))
    columns = sklearn_columns.count_of(model)
    alone = not columns and sklearn_columns.reads_text_alone(model)
    if not columns and not alone:
        kind = type(model).__name__
        raise ArtifactError(f"the model, a {kind}, is no fitted estimator with predict or transform")
    names = sklearn_columns.names_of(model)
    inputs = sklearn_columns.inputs(model, environment)
    if inputs is not None:
        found = _of_columns(score, inputs, accept, alone, bool(names))
        found.advise = _advise
        _decide_batching(found, model, _pool(inputs), files)
        return found
    kinds = sklearn_boosters.find_kinds(model, environment)
    features = row_decoder.Features(int(columns or 1), names, kinds, np.float64)
    # A booster takes codes of categories as an array; what is within a model gets a DataFrame, or refuses it.
    shape = _shaper(score, names, frame=kinds is None and sklearn_boosters.holds_categories(model))

    def predict(rows: row_decoder.Matrix) -> Any:
        try:
            return _answers(score(shape(rows)))
        except ValueError as error:  # the estimator rejects the rows, missing values for example
            raise _refusal(error, rows, features) from None

    _try(lambda: score(shape(np.zeros((1, features.count)))))
    table = TabularScorer(predict, features, accept, batches=False)
    table.advise = _advise
    _decide_batching(table, model, row_probes.matrix_pool(features.count, np.float64), files)
    return table


_NO_NUMBER = re.compile(
    r"Row \d+, column (?P<place>\d+)(?: \((?P<name>.*)\))?: "
    r"(?:'.*' is not a number|expected a number or null, got|the column holds .*; send numbers)"
)


def _advise(message: str) -> str:
    """Advise what to do if a request has text in a column that counts as numeric because nothing shows its type; else
    empty."""
    found = _NO_NUMBER.match(message)
    if found is None:
        return ""
    column = json.dumps({found["name"] or str(int(found["place"]) - 1): "text"}, ensure_ascii=False)
    return f"If the column holds text, say so in the model's environment: {sklearn_columns.VARIABLE}={column}."


class _ModelFiles(NamedTuple):
    """``seen``: the files before the model was read; None: their bytes do not determine the model."""

    folder: Path
    environment: Mapping[str, str]
    seen: kept_verdict.Identity | None


def _decide_batching(table: TabularScorer, model: Any, pool: row_probes.Pool, files: _ModelFiles) -> None:
    most, why = cap(files.environment), sklearn_independence.why_alone(model)
    try:
        if not why:
            budget = row_probes.ProbeBudget(pool, max(most, 2), _TRIAL, known=True)
            kept = kept_verdict.find_verdict(files.folder, files.seen, budget, files.environment)
            kept_verdict.decide_batching(table, budget, kept)
        elif change := row_probes.find_change(table.run, pool):
            raise ArtifactError(
                f"{change}; give its parts a random_state, leave out what keeps or draws something when it predicts,"
                " or, if that is what the model is meant to do, serve it by a script (tidegate/script)"
            )
    except row_probes.Dependent as dependent:
        why = str(dependent)
    if why:
        print(f"each request is scored alone: {why}", flush=True)


def _method(model: Any, wanted: str) -> Callable[[Any], Any]:
    if wanted and wanted not in METHODS:
        raise Invalid(f"{METHOD} must be one of {', '.join(METHODS)}, not {wanted!r}")
    kind = type(model).__name__
    found = getattr(model, wanted or "predict", None)
    if found is None and not wanted:
        found = getattr(model, "transform", None)
    if not callable(found):
        lack = f"has no {wanted}" if wanted else "is no fitted estimator with predict or transform"
        raise ArtifactError(f"the model, a {kind}, {lack}")
    return found  # type: ignore[no-any-return]


def _of_columns(
    score: Callable[[Any], Any], inputs: Sequence[TypedInput], accept: str | None, alone: bool, named: bool
) -> TabularScorer:
    """A scorer for columns of several types. ``alone``: the model takes a list of texts; ``named``: a DataFrame."""
    if named:
        pandas = _pandas()
    plain = _floats if all(one.unused or one.dtype.kind == "f" for one in inputs) else None

    def table(columns: Columns) -> Any:
        if alone:
            return next(iter(columns.values())).tolist()
        if named:
            # Keep object columns: pandas would convert text to its own type, with NaN for missing values.
            return pandas.DataFrame({name: pandas.Series(one, dtype=one.dtype) for name, one in columns.items()})
        if plain is not None and (rows := plain(columns)) is not None:
            return rows
        rows = np.empty((len(next(iter(columns.values()))), len(inputs)), object)
        for number, one in enumerate(columns.values()):
            rows[:, number] = one
        return rows

    def predict(columns: Columns) -> Any:
        try:
            return _answers(score(table(columns)))
        except (ValueError, TypeError) as error:
            raise _refuse_columns(error, columns, typed) from None

    typed = TypedRows(inputs, named)

    def probe() -> None:
        row = {one.name: np.array([_example(one)], one.dtype) for one in inputs}
        score(table(row))

    _try(probe)
    return ColumnTable(predict, typed, accept, batches=False)


def _floats(columns: Columns) -> Any:
    """The columns as one table of numbers; None if an unused one holds anything else."""
    try:
        return np.stack([values.astype(np.float64) for values in columns.values()], axis=1)
    except (ValueError, TypeError):
        return None


def _pool(inputs: Sequence[TypedInput]) -> row_probes.Pool:
    """Probe rows, with texts that the model knows."""
    pool = row_probes.column_pool({one.name: one.dtype for one in inputs})
    random = np.random.default_rng(0)
    for one in inputs:
        if one.texts:
            pool.rows[one.name] = random.choice(np.array(sorted(one.texts), object), len(pool.rows[one.name]))
    return pool


def _example(one: TypedInput) -> Any:
    return (min(one.texts) if one.texts else "text") if one.dtype.kind == "O" else 0


def _try(probe: Callable[[], Any]) -> None:
    """Log advice if the model rejects an ordinary row, which may be the only one that it rejects."""
    try:
        probe()
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(
            f"the model refuses a row made of what its columns seem to hold ({said}); if the types of its columns are"
            f' others, set {sklearn_columns.VARIABLE} in its environment, such as {{"land": "text"}}',
            flush=True,
        )


def _answers(found: Any) -> Any:
    """One answer per row, as an array."""
    if isinstance(found, list):  # for each of several outputs the probabilities of its classes
        if len({np.shape(one) for one in found}) > 1:
            raise ModelFailed(500, "The model's outputs have different numbers of classes; ask for predict.")
        return np.stack(found, axis=1)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def _shaper(score: Callable[[Any], Any], names: Sequence[str], frame: bool) -> Callable[[row_decoder.Matrix], Any]:
    """A function from rows to the model's input: the rows, or a DataFrame if it finds columns by name. ``frame``: it
    must have one."""
    if not names:
        return _keep
    # The names were checked, and are in the model's order.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    if frame:
        return partial(_pandas().DataFrame, columns=list(names))
    try:
        score(np.zeros((1, len(names))))
    except ValueError as error:
        if "DataFrame" not in str(error) and "dataframe" not in str(error):
            return _keep  # it may reject zeros
        return partial(_pandas().DataFrame, columns=list(names))
    except (TypeError, AttributeError, KeyError, IndexError):
        return partial(_pandas().DataFrame, columns=list(names))
    return _keep


def _pandas() -> Any:
    try:
        import pandas  # noqa: PLC0415  # slow to import, and few models need it

        return pandas
    except ImportError:
        raise ArtifactError(
            "the model finds its columns by name, which needs pandas, which is not installed: pip install"
            " 'tidegate[sklearn]'"
        ) from None


def _keep(rows: row_decoder.Matrix) -> Any:
    return rows


def _refusal(error: ValueError, rows: row_decoder.Matrix, features: row_decoder.Features) -> ModelFailed:
    said = str(error).partition("\n")[0]
    at = row_decoder.missing(rows) if "NaN" in said else None
    if at is None:
        return ModelFailed(400, said)
    return ModelFailed(400, f"{features.place(*at)}: a missing value, which the model does not take ({said})")


def _refuse_columns(error: Exception, columns: Columns, typed: TypedRows) -> ModelFailed:
    said = str(error).partition("\n")[0]
    for at, values in enumerate(columns.values()) if "NaN" in said else ():
        if values.dtype.kind == "f" and (empty := np.flatnonzero(np.isnan(values))).size:
            place = typed.place(int(empty[0]), at)
            return ModelFailed(400, f"{place}: a missing value, which the model does not take ({said})")
    return ModelFailed(400, said)


def _skops(path: Path, trusted: bool) -> tuple[Any, bool]:
    """The model, and whether no code of others had a part in reading it."""
    plain = True
    zip_limits.check(path)
    known = [sklearn_checks.TREE, *sklearn_checks.HARMLESS]
    try:
        model = skops.io.load(path, trusted=known)  # it looks for other types before it makes anything
    except UntrustedTypesFoundException:
        types = skops.io.get_untrusted_types(file=path)
        if not trusted:
            strange = [name for name in types if name not in known]
            raise _needs_trust(path, ", ".join(strange[:5])) from None
        model, plain = skops.io.load(path, trusted=types), False
    if not trusted:
        try:
            sklearn_checks.check(model)
        except sklearn_checks.NeedsTrust as error:
            raise _needs_trust(path, str(error)) from None
    return model, plain


def _needs_trust(path: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"{path.name} holds types that need trust, since they may run code or reach beyond their memory: {what};"
        f" leave them out, or, if you trust who made it, set {TRUST}=pickle for the server and in the model's"
        " environment"
    )


def _read(path: Path, trusted: bool) -> tuple[Any, bool]:
    """The model, and whether its bytes alone determine it."""
    if path.suffix in _PICKLES and not trusted:
        raise ArtifactError(
            f"{path.name} is a pickle, which runs code when it is read; save the model with skops.io.dump(model,"
            f" 'model.skops'), or, if you trust who made it, set {TRUST}=pickle for the server and in"
            " the model's environment"
        )
    try:
        return (joblib.load(path), False) if path.suffix in _PICKLES else _skops(path, trusted)
    except ArtifactError:
        raise
    except sklearn_checks.UnsoundModel as error:
        raise ArtifactError(f"{path.name} is damaged: {error}; save the model again") from None
    except ModuleNotFoundError as error:
        raise ArtifactError(f"{path.name} needs the package {error.name}, which is not installed") from None
    except Exception as error:  # a broken file may raise anything
        raise ArtifactError(f"{path.name} is not a whole model: {cause(error, path)}") from None
