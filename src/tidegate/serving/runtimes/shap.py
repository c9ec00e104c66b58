"""Explanations of an XGBoost model: how much each feature added to each prediction, as SHAP values.

The values are exact (TreeSHAP, as XGBoost computes it over its own trees). They are in the model's margin, before
a link such as the logistic function: base value and contributions sum to it. The model is found as in ``xgboost``.
Answers in JSON have one entry a row; in CSV and NPY a row holds the contributions in the model's order of
features and the base value last, for several classes one class after the other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.answer_counts import check_count
from tidegate.serving.contract.invocation import Answer, Call
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
"""Set to ``true`` in a container's environment, JSON answers also hold the SHAP interaction values."""


class Explainer:
    """A ``handling.Handler``: a row costs milliseconds where the trees are many, so the event loop is left free."""

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

    def answer(self, call: Call) -> Answer:
        """Raises ModelFailed for rows that cannot be read."""
        kind = row_decoder.choose(call.accept, self._accept or row_decoder.kind_of(call.content_type))
        body = call.body
        if call.headers.get(FIRST) == b"1":
            lined = row_decoder.kind_of(call.content_type) == row_decoder.CSV
            body = self._features.unmarked(body) if lined else without_bom(body)
        rows = self._features.read(body, call.content_type, begins=FIRST not in call.headers)
        if kind == row_decoder.JSON:
            explanations = self.explain(rows)
            check_count(len(explanations), len(rows))
            return Answer(encode_json({"explanations": explanations}), row_decoder.JSON)
        values = self._predict(self._matrix(rows), pred_contribs=True)
        check_count(len(values), len(rows))
        return row_decoder.write(values.reshape(len(rows), -1), kind)

    def explain(self, rows: row_decoder.Matrix) -> list[dict[str, Any]]:
        """One explanation a row. Where a row has several outputs (classes), each number is a list of them."""
        matrix = self._matrix(rows)
        values = self._predict(matrix, pred_contribs=True)
        margins = self._predict(matrix, output_margin=True)
        predictions = self._booster.predict(matrix, iteration_range=self._iterations, validate_features=False)
        found = [
            {
                "base_value": _plain(contributions[:, -1]),
                "contributions": self._named([_plain(column) for column in contributions[:, :-1].T]),
                "margin": _plain(margin),
                "prediction": prediction,
            }
            for contributions, margin, prediction in zip(values, margins, predictions.tolist(), strict=True)
        ]
        if self._interactions:
            pairs = self._predict(matrix, pred_interactions=True)[:, :, :-1, :-1]
            for explanation, pair in zip(found, pairs, strict=True):
                lines = [self._named([_plain(cell) for cell in line.T]) for line in pair.transpose(1, 0, 2)]
                explanation["interactions"] = self._named(lines)
        return found

    def _matrix(self, rows: row_decoder.Matrix) -> xgboost.DMatrix:
        return xgboost.DMatrix(rows, missing=np.nan, nthread=self._number)

    def _predict(self, matrix: xgboost.DMatrix, **what: bool) -> Any:
        """Shape (rows, outputs, ...)."""
        return self._booster.predict(
            matrix, strict_shape=True, iteration_range=self._iterations, validate_features=False, **what
        )

    def _named(self, values: list[Any]) -> Any:
        names = self._features.names
        return dict(zip(names, values, strict=True)) if names else values


def load(model_dir: Path, environment: Mapping[str, str]) -> Explainer:
    """Raises ArtifactError for model data without exactly one usable model, Invalid for the environment."""
    wish = environment.get(INTERACTIONS, "false")
    if wish not in ("true", "false"):
        raise Invalid(f"{INTERACTIONS} must be 'true' or 'false', not {wish!r}")
    number, accept = threads(environment), default_accept(environment)
    name, booster = trees.read(model_dir)
    booster.set_param({"nthread": number})
    explainer = Explainer(booster, accept, number, wish == "true", environment)
    try:
        explainer.explain(np.zeros((1, booster.num_features()), dtype=np.float32))
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ArtifactError(f"{name} cannot be explained: {trees.first_line(error)}") from None
    return explainer


def _plain(values: Any) -> Any:
    """The only output's number, or the list of all."""
    return values[0].item() if len(values) == 1 else values.tolist()
