"""The content types of AWS's XGBoost images, in addition to those of all table runtimes.

Requests: libsvm and RecordIO-protobuf, CSV with other delimiters than commas, and an empty body, whose answer is 204.
Answers: ``{"predictions": [{"score": 0.7}]}``, or the keys in SAGEMAKER_INFERENCE_OUTPUT.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tidegate.serving.contract.invocation import Answer, ModelFailed
from tidegate.serving.formats import content_types, libsvm, recordio
from tidegate.serving.formats.json_encoding import encode_json
from tidegate.serving.formats.row_decoder import Features, Matrix
from tidegate.serving.runtimes.forest import Forest
from tidegate.serving.runtimes.selected_output import TYPES as SELECTED_TYPES
from tidegate.serving.runtimes.selected_output import select_output
from tidegate.transform.csv_lines import without_bom

SPARSE = (*libsvm.TYPES, recordio.TYPE)
DELIMITERS = b";\t| "
"""Delimiters of CSV whose first line has no comma."""
NO_CONTENT = 204


class XGBoostDialect:
    """A ``tabular_scorer.Dialect``."""

    lined = content_types.LINED | frozenset(libsvm.TYPES)

    def __init__(
        self, environment: Mapping[str, str], objective: str, classes: int, base: libsvm.IndexBase
    ) -> None:
        """Raises Invalid, and ArtifactError for a model that cannot produce the output that its environment names."""
        self._base = base
        self._selected = select_output(environment, objective, classes)
        self._types = SELECTED_TYPES if self._selected else content_types.TYPES

    def answer_form(self, accept: str, default: str | None, kind: str) -> str:
        """The content type of the answer to a request of content type ``kind``; ``default``: the environment's.
        Raises ModelFailed (406)."""
        fallback = default or kind
        return content_types.choose(
            accept, fallback if fallback in self._types else content_types.CSV, self._types
        )

    def read(self, features: Features, body: bytes, content_type: str, begins: bool) -> Matrix:
        """The rows of a request; none if it is empty. Raises ModelFailed."""
        if not body:
            return np.empty((0, features.count), features.dtype)
        return read(features, self._base, body, content_type, begins)

    def write(self, scores: Any, form: str) -> Answer:
        """Raises ModelFailed."""
        if not len(scores):
            return Answer(b"", form, status=NO_CONTENT)
        if self._selected is not None:
            return self._selected.write(scores, form)
        if form == content_types.JSON:
            return Answer(encode_json({"predictions": [{"score": each} for each in scores.tolist()]}), form)
        if form == content_types.JSON_LINES:
            return Answer(b"".join([encode_json({"score": each}) + b"\n" for each in scores.tolist()]), form)
        return content_types.write(scores, form)


def read(
    features: Features, base: libsvm.IndexBase, body: bytes, content_type: str, begins: bool = True
) -> Matrix:
    """Parse rows. ``begins``: whether the body is read from its beginning. Raises ModelFailed."""
    kind = content_types.kind_of(content_type)
    if kind in libsvm.TYPES or (not content_type and _is_libsvm(body, features)):
        return libsvm.read(without_bom(body) if begins else body, features, base)
    if kind == recordio.TYPE:
        return recordio.read(body, features)
    if kind == content_types.CSV:
        body = _with_commas(body, features)
    elif kind not in content_types.TYPES:
        raise content_types.unknown(kind, (*content_types.TYPES, *SPARSE))
    return features.read(body, content_type, begins)


def _is_libsvm(body: bytes, features: Features) -> bool:
    """Whether a body without a content type is libsvm: numbers in CSV have no colon."""
    line = body.partition(b"\n")[0]
    return b":" in line and b"," not in line and not features.listed


def _with_commas(body: bytes, features: Features) -> bytes:
    """Replace other delimiters of a CSV by commas. A table of one column has none, and one of several columns whose
    first line has no comma is no ordinary CSV, so this never changes the meaning of a row."""
    line = without_bom(body.partition(b"\n")[0]).rstrip(b"\r")
    if features.count < 2 or b"," in line or b'"' in body:
        return body
    found = [bytes([one]) for one in DELIMITERS if line.strip(b" ").count(one) == features.count - 1]
    if not found:
        return body
    [delimiter, *_] = found
    if b"," in body:
        raise ModelFailed(400, f"Some lines have commas and the first one is delimited by {delimiter.decode()!r}.")
    if delimiter == b" ":
        lines = [each.strip(b" ") for each in body.replace(b"\r\n", b"\n").split(b"\n")]
        for number, each in enumerate(lines):
            if b"  " in each:
                raise ModelFailed(
                    400, f"Row {number + 1}: two spaces stand together in fields delimited by spaces."
                )
        body = b"\n".join(lines)
    return body.replace(delimiter, b",")


def of_booster(booster: Any, environment: Mapping[str, str]) -> XGBoostDialect:
    """``booster``: of XGBoost. Raises Invalid, ArtifactError."""
    learner = json.loads(booster.save_config())["learner"]
    base = index_base(booster, environment)
    classes = int(learner["learner_model_param"]["num_class"])
    return XGBoostDialect(environment, learner["objective"]["name"], classes, base)


def index_base(booster: Any, environment: Mapping[str, str]) -> libsvm.IndexBase:
    """Raises Invalid."""
    return libsvm.IndexBase(environment, booster.num_features(), lambda: looks_at_first(booster))


def of_forest(forest: Forest, environment: Mapping[str, str]) -> XGBoostDialect:
    """Raises Invalid, ArtifactError."""
    head = forest.head
    base = libsvm.IndexBase(environment, head.features, forest.looks_at_first)
    return XGBoostDialect(environment, head.objective, len(head.base), base)


def looks_at_first(booster: Any) -> bool:
    """Whether a model of XGBoost's depends on its first feature."""
    name = booster.feature_names[0] if booster.feature_names else "f0"
    return bool(np.any(booster.get_score(importance_type="weight").get(name, 0)))
