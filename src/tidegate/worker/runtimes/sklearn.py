"""scikit-learn models, scored in this process by their ``predict``; what only transforms (a scaler, say, as a stage
of a pipeline) by its ``transform``.

The model is the one ``.skops`` file of the model data, whose types skops checks; that decision trees and forests hold
together is looked at here (``soundness``), gradient boosting needs trust. A pickle (``.joblib``, ``.pkl``,
``.pickle``) runs what it likes when it is read: it is loaded only where the container's environment says
``TIDEGATE_TRUST=pickle``, and so are other types of ``.skops``.

Requests are scored together where the model is made of scikit-learn's own estimators alone (``estimators``) and no
trial contradicts it (``row_probes``).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tidegate.model.errors import ArtifactError
from tidegate.worker import zips
from tidegate.worker.images import PICKLE, TRUST, trusts
from tidegate.worker.invocation import ModelFailed

try:
    import joblib
    import numpy as np
    import skops.io

    from tidegate.worker.batching import cap
    from tidegate.worker.runtimes import codecs, estimators, row_probes, soundness
    from tidegate.worker.runtimes.broken import cause
    from tidegate.worker.runtimes.tables import Table, default_accept, only, threads
except ImportError as missing:
    raise ArtifactError(
        f"scikit-learn models need packages that are not installed ({missing.name}): pip install 'tidegate[sklearn]'"
    ) from None

_TRIAL = 0.1
"""Seconds of the trial of a model of scikit-learn's own estimators."""
_PICKLES = (".joblib", ".pkl", ".pickle")


def load(model_dir: Path, environment: Mapping[str, str]) -> Table:
    """Raises ArtifactError for model data without exactly one usable model, or with a pickle without trust."""
    trusted = trusts(environment, PICKLE)
    threads(environment)
    accept = default_accept(environment)
    model = _read(only(model_dir, "scikit-learn model", (".skops", *_PICKLES)), trusted)
    columns = getattr(model, "n_features_in_", None)
    score = getattr(model, "predict", None) or getattr(model, "transform", None)
    if not callable(score) or not columns:
        kind = type(model).__name__
        raise ArtifactError(f"the model is a {kind}; expected a fitted estimator with predict or transform")

    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    features = codecs.Features(int(columns), names)
    shape = _shaper(score, names)

    def predict(rows: codecs.Matrix) -> Any:
        try:
            return score(shape(rows))
        except ValueError as error:  # what an estimator refuses: missing values, say
            raise _refusal(error, rows, features) from None

    table = Table(predict, features, accept, batches=False)
    _decide_batching(table, model, int(columns), cap(environment))
    return table


def _decide_batching(table: Table, model: Any, columns: int, most: int) -> None:
    why = estimators.why_alone(model)
    try:
        if not why:
            trial = row_probes.Trial(row_probes.matrix_pool(columns), max(most, 2), _TRIAL, known=True)
            table.allow_batches(row_probes.judge(table.run, trial))
    except row_probes.Dependent as dependent:
        why = str(dependent)
    if why:
        print(f"each request is scored alone: {why}", flush=True)


def _shaper(score: Callable[[Any], Any], names: Sequence[str]) -> Callable[[codecs.Matrix], Any]:
    """What the model is given: plain rows, or, where it finds its columns by name, a pandas table of them."""
    if not names:
        return _same
    # The names are checked and in the model's order when they come here.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    try:
        score(np.zeros((1, len(names)), np.float32))
    except ValueError as error:
        if "DataFrame" not in str(error) and "dataframe" not in str(error):
            return _same  # it refuses zeros, as it may
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise ArtifactError(
                "the model finds its columns by name, which needs pandas, which is not installed: pip install"
                " 'tidegate[sklearn]'"
            ) from None
        return partial(pandas.DataFrame, columns=list(names))
    return _same


def _same(rows: codecs.Matrix) -> Any:
    return rows


def _refusal(error: ValueError, rows: codecs.Matrix, features: codecs.Features) -> ModelFailed:
    said = str(error).partition("\n")[0]
    at = codecs.missing(rows) if "NaN" in said else None
    if at is None:
        return ModelFailed(400, said)
    return ModelFailed(400, f"{features.place(*at)}: a missing value, which the model does not take ({said})")


def _skops(path: Path, trusted: bool) -> Any:
    zips.check(path)
    types = skops.io.get_untrusted_types(file=path)
    strange = [name for name in types if name not in (soundness.TREE, *soundness.HARMLESS)]
    if strange and not trusted:
        raise _needs_trust(path, ", ".join(strange[:5]))
    model = skops.io.load(path, trusted=types)
    if not trusted:
        try:
            soundness.check(model)
        except soundness.NeedsTrust as error:
            raise _needs_trust(path, str(error)) from None
    return model


def _needs_trust(path: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"{path.name} holds types that need trust, since they may run code or reach beyond their memory: {what};"
        f" leave them out, or, if you trust who made it, set {TRUST}=pickle for the server and in the model's"
        " environment"
    )


def _read(path: Path, trusted: bool) -> Any:
    if path.suffix in _PICKLES and not trusted:
        raise ArtifactError(
            f"{path.name} is a pickle, which runs code when it is read; save the model with skops.io.dump(model,"
            f" 'model.skops'), or, if you trust who made it, set {TRUST}=pickle for the server and in"
            " the model's environment"
        )
    try:
        return joblib.load(path) if path.suffix in _PICKLES else _skops(path, trusted)
    except ArtifactError:
        raise
    except soundness.Unsound as error:
        raise ArtifactError(f"{path.name} is damaged: {error}; save the model again") from None
    except ModuleNotFoundError as error:
        raise ArtifactError(f"{path.name} needs the package {error.name}, which is not installed") from None
    except Exception as error:  # a broken file fails in any way
        raise ArtifactError(f"{path.name} is not a whole model: {cause(error, path)}") from None
