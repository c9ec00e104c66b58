"""MLflow model folders, with the answers of MLflow's scoring server: by their ``pyfunc`` flavour, or by an equivalent
that is faster (``mlflow_fastpath``).

Most flavours are pickles and any may bring Python files, so pickles have to be trusted. ``requirements.txt`` is first
compared with the installed packages: another version is a warning in the log, a missing package an error.
"""

import importlib.util
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.answer_counts import check_count, row_by_row
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.contract.signature import ModelSignature
from tidegate.serving.contract.trust import PICKLE, TRUST, trusts
from tidegate.serving.scoring.file_ranges import FIRST

try:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from packaging.requirements import InvalidRequirement, Requirement

    from tidegate.serving.formats import dataframes
    from tidegate.serving.runtimes import mlflow_fastpath
    from tidegate.serving.runtimes.error_messages import cause
    from tidegate.serving.runtimes.tabular_scorer import threads
except ImportError as missing:
    raise ArtifactError(
        f"MLflow models need packages that are not installed ({missing.name}): pip install 'tidegate[mlflow]'"
    ) from None

_FILE = "MLmodel"
_EXAMPLE = "serving_input_example.json"
"""File of the model folder with the body of a request, if the model was saved with an example."""


def load(model_dir: Path, environment: Mapping[str, str]) -> "Pyfunc":
    """Raises ArtifactError for model data without exactly one usable model, or without trust."""
    trusted = trusts(environment, PICKLE)
    number = threads(environment)
    folder = _folder(model_dir)
    about = _about(folder / _FILE)
    if not trusted:
        raise ArtifactError(
            "an MLflow model runs code when it is loaded; if you trust who made it, set"
            f" {TRUST}=pickle for the server and in the model's environment"
        )
    for warning in requirements(folder, about):
        print(f"MLflow model: {warning}", flush=True)
    try:
        model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
        columns = dataframes.signature(model.metadata.get_input_schema())
    except ModuleNotFoundError as error:
        raise ArtifactError(f"the MLflow model needs the package {error.name}, which is not installed") from None
    except Exception as error:  # a broken model may raise anything
        raise ArtifactError(f"the MLflow model cannot be loaded: {cause(error, folder)}") from None
    _choose_trees(model, environment)
    loaded = Pyfunc(model, columns, row_by_row(environment))
    _check_answers(loaded, folder, model, columns)
    loaded.native = mlflow_fastpath.find(model, columns, loaded.answer, number)
    return loaded


def _check_answers(loaded: "Pyfunc", folder: Path, model: Any, columns: dataframes.Signature) -> None:
    """Raises ArtifactError for a library's model whose answer to the same request changes. Code of the user's own may
    be random, or learn, by design: the log says that it was found."""
    own_code = not type(model._model_impl).__module__.startswith("mlflow.") or hasattr(
        model._model_impl, "python_model"
    )
    example = folder / _EXAMPLE
    change = mlflow_fastpath.find_change(
        columns, loaded.answer, example.read_bytes() if example.is_file() and not own_code else None
    )
    if change and own_code:
        print(
            f"MLflow model: {change}, or depends on the requests before; it is served, as code of its own",
            flush=True,
        )
    elif change:
        raise ArtifactError(
            f"the MLflow model: {change}, or depends on the requests before; save it in inference mode (model.eval(),"
            " a random_state), or, if that is what it is meant to do, as a PythonModel"
        )


def _choose_trees(model: Any, environment: Mapping[str, str]) -> None:
    """Which trees of an XGBoost model that was stopped early predict: as MLflow has it (all of a Booster, those up to
    the best iteration of an estimator), or as the environment says. Raises Invalid."""
    inner = model._model_impl
    raw = getattr(inner, "xgb_model", None)
    if raw is None and type(inner).__module__.startswith("mlflow."):
        raw = getattr(inner, "sklearn_model", None)
    if raw is None or not type(raw).__module__.startswith("xgboost."):
        return
    from tidegate.serving.runtimes import xgboost  # noqa: PLC0415  # needs XGBoost

    is_booster = not hasattr(raw, "get_booster")
    booster = raw if is_booster else raw.get_booster()
    _, best = xgboost.iterations(booster)
    xgboost.print_line(xgboost.choose_trees(booster, environment, xgboost.ALL if is_booster else xgboost.BEST))
    if is_booster and best and xgboost.iterations(booster)[1]:  # Booster.predict takes all that there are
        inner.xgb_model = booster[:best]
        inner.xgb_model.feature_names, inner.xgb_model.feature_types = booster.feature_names, booster.feature_types


def _folder(model_dir: Path) -> Path:
    """The folder of the MLmodel file: the top, or the single folder that archives often contain."""
    if (model_dir / _FILE).is_file():
        return model_dir
    inner = [path.parent for path in sorted(model_dir.glob(f"*/{_FILE}"))]
    if len(inner) != 1:
        found = ", ".join(sorted(path.name for path in model_dir.iterdir())[:10]) or "nothing"
        raise ArtifactError(f"the model data has no MLmodel file at its top or in its only folder; found: {found}")
    return inner[0]


def _about(path: Path) -> dict[str, Any]:
    try:
        about = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArtifactError(f"MLmodel is not YAML: {' '.join(str(error).split())}") from None
    flavors = about.get("flavors") if isinstance(about, dict) else None
    if not isinstance(flavors, dict):
        raise ArtifactError("MLmodel is not whole: it has no 'flavors'")
    if not isinstance(flavors.get("python_function"), dict):
        found = ", ".join(map(str, flavors)) or "none"
        raise ArtifactError(f"the MLflow model has no python_function flavor, which is needed; found: {found}")
    return dict(about)


def requirements(folder: Path, about: Mapping[str, Any]) -> list[str]:
    """Warnings, one line each; raises ArtifactError for a package that is not installed."""
    warnings = []
    made_with = str(about["flavors"]["python_function"].get("python_version") or "")
    here = ".".join(map(str, sys.version_info[:2]))
    if made_with and made_with.split(".")[:2] != here.split("."):
        warnings.append(f"made with Python {made_with}, this is {here}")
    file = folder / "requirements.txt"
    for line in file.read_text().splitlines() if file.is_file() else []:
        try:
            wanted = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue  # an option, a URL, or an empty line
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        found = _installed_version(wanted.name)
        if found is None:
            raise ArtifactError(f"the MLflow model needs the package {wanted}, which is not installed")
        if found and not wanted.specifier.contains(found, prereleases=True):
            warnings.append(f"made with {wanted}, {found} is installed")
    return warnings


def _installed_version(name: str) -> str | None:
    """The version of a package; empty if another package provides its module; None if it is not installed."""
    for candidate in (name, f"{name}-skinny"):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    module = name.replace("-", "_")
    return "" if module.isidentifier() and importlib.util.find_spec(module) is not None else None


class Pyfunc:
    """A ``thread_engine.Handler``. One request at a time, since a model's code may not be thread-safe."""

    threads = 1
    native: "mlflow_fastpath.Native | None" = None
    """Answers plain requests faster, if its answers are the same."""

    def __init__(self, model: Any, columns: dataframes.Signature, row_by_row: bool = True) -> None:
        """``row_by_row``: whether a list of answers must have one for each row."""
        self._model = model
        self._signature = columns
        self._row_by_row = row_by_row

    @property
    def signature(self) -> ModelSignature:
        return self._signature.described

    def answer(self, call: Call) -> Answer:
        first = call.headers.get(FIRST)
        given, parameters = self._signature.read(call.body, call.content_type, first is not None, first != b"0")
        try:
            found = self._model.predict(given, params=parameters)
        except (MlflowException, ValueError, TypeError, KeyError) as error:  # the model rejects the request
            message = getattr(error, "message", str(error)).partition("\n")[0]
            raise ModelFailed(400, f"{type(error).__name__}: {message}") from None
        if self._row_by_row:
            check_count(dataframes.answers(found), dataframes.rows(given))
        return dataframes.write(found)
