"""Explanations of an XGBoost model: the contribution of each feature to each prediction, as SHAP values.

The values are exact (XGBoost's TreeSHAP). Base value and contributions sum to the model's margin, before a link such
as the logistic function. The model file is found as in ``xgboost``. JSON answers have one entry per row; in CSV and
NPY a row has the contributions in the order of the features, then the base value; the same for each further class.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.contract.signature import ModelSignature, describe_columns
from tidegate.serving.runtimes import xgboost as trees
from tidegate.serving.scoring.file_ranges import FIRST
from tidegate.transform.csv_lines import without_bom

try:
    import numpy as np
    import xgboost

    from tidegate.serving.formats import row_decoder
    from tidegate.serving.formats.json_encoding import encode_json
    from tidegate.serving.runtimes.tabular_scorer import default_accept, threads
except ImportError as missing:
    raise ArtifactError(
        f"explanations need packages that are not installed ({missing.name}): pip install 'tidegate[xgboost]'"
    ) from None

INTERACTIONS = "SHAP_INTERACTIONS"
"""If this is ``true`` in a container's environment, JSON answers also have the SHAP interaction values."""


class Explainer:
    """A ``thread_engine.Handler``: a row may take milliseconds, which would block the event loop."""

    threads = 1

    def __init__(
        self,
        booster: xgboost.Booster,
        accept: str | None,
        number: int,
        interactions: bool,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._booster = booster
        self._accept = accept
        self._number = number
        self._interactions = interactions
        self._iterations = trees.iterations(booster)
        self._features = trees.features(booster, environment)

    @cached_property
    def signature(self) -> ModelSignature:
        features = self._features
        return describe_columns(features.names, [features.dtype.name] * features.count, arrays=False)

    def answer(self, call: Call) -> Answer:
        """Raises ModelFailed for invalid rows."""
        kind = row_decoder.choose(call.accept, self._accept or row_decoder.kind_of(call.content_type))
        body = call.body
        if call.headers.get(FIRST) == b"1":
            lined = row_decoder.kind_of(call.content_type) == row_decoder.CSV
            body = self._features.strip_bom(body) if lined else without_bom(body)
        rows = self._features.read(body, call.content_type, begins=FIRST not in call.headers)
        if kind == row_decoder.JSON:
            explanations = self.explain(rows)
            check_count(len(explanations), len(rows))
            return Answer(encode_json({"explanations": explanations}), row_decoder.JSON)
        values = self._predict(self._matrix(rows), pred_contribs=True)
        check_count(len(values), len(rows))
        return row_decoder.write(values.reshape(len(rows), -1), kind)

    def explain(self, rows: row_decoder.Matrix) -> list[dict[str, Any]]:
        """One explanation per row. With several outputs (classes) each number is a list of them."""
        matrix = self._matrix(rows)
        values = self._predict(matrix, pred_contribs=True)
        margins = self._predict(matrix, output_margin=True)
        predictions = self._booster.predict(matrix, iteration_range=self._iterations, validate_features=False)
        found = [
            {
                "base_value": _to_plain(contributions[:, -1]),
                "contributions": self._name_outputs([_to_plain(column) for column in contributions[:, :-1].T]),
                "margin": _to_plain(margin),
                "prediction": prediction,
            }
            for contributions, margin, prediction in zip(values, margins, predictions.tolist(), strict=True)
        ]
        if self._interactions:
            pairs = self._predict(matrix, pred_interactions=True)[:, :, :-1, :-1]
            for explanation, pair in zip(found, pairs, strict=True):
                lines = [
                    self._name_outputs([_to_plain(cell) for cell in line.T]) for line in pair.transpose(1, 0, 2)
                ]
                explanation["interactions"] = self._name_outputs(lines)
        return found

    def _matrix(self, rows: row_decoder.Matrix) -> xgboost.DMatrix:
        return xgboost.DMatrix(rows, missing=np.nan, nthread=self._number)

    def _predict(self, matrix: xgboost.DMatrix, **what: bool) -> Any:
        """Shape (rows, outputs, ...)."""
        return self._booster.predict(
            matrix, strict_shape=True, iteration_range=self._iterations, validate_features=False, **what
        )

    def _name_outputs(self, values: list[Any]) -> Any:
        names = self._features.names
        return dict(zip(names, values, strict=True)) if names else values


def load(model_dir: Path, environment: Mapping[str, str]) -> Explainer:
    """Raises ArtifactError for model data without exactly one usable model, Invalid for the environment."""
    wish = environment.get(INTERACTIONS, "false")
    if wish not in ("true", "false"):
        raise Invalid(f"{INTERACTIONS} must be 'true' or 'false', not {wish!r}")
    number, accept = threads(environment), default_accept(environment)
    name, booster = trees.read(model_dir)
    trees.print_line(trees.choose_trees(booster, environment))
    booster.set_param({"nthread": number})
    explainer = Explainer(booster, accept, number, wish == "true", environment)
    try:
        explainer.explain(np.zeros((1, booster.num_features()), dtype=np.float32))
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ArtifactError(f"{name} cannot be explained: {trees.first_line(error)}") from None
    return explainer


def _to_plain(values: Any) -> Any:
    """The number of the only output, or the list for all."""
    return values[0].item() if len(values) == 1 else values.tolist()
