"""Chooses what an answer of an ONNX model holds, if the model has several outputs, and joins them.

An answer holds all outputs of fractions, side by side in the model's order: the scores of a classifier and not its
labels, the mean and the deviation of a regressor. A ``ZipMap`` (the default of skl2onnx) gives one map of class to
probability for each row; they are answered in the order of the classes in the model. Models without such outputs
answer whole numbers and truth values, and otherwise text. ``MODEL_OUTPUT`` in the environment names one output.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto

from tidegate.domain.errors import ArtifactError

VARIABLE = "MODEL_OUTPUT"
_FRACTIONS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_WHOLE = frozenset(
    {f"tensor({kind})" for kind in ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32")}
)
_OTHERS = frozenset({"tensor(bool)"})
_TEXT = frozenset({"tensor(string)"})
_SEQUENCE = "seq(tensor(float))"
_MAPS = "seq(map("
_RANKS = (0, 1, 2)
"""Ranks of an output that has one row for each row of a request; 0: not declared."""


@dataclass
class _Output:
    """One output. ``labels``: of a map, its keys in the order of the answer; empty until they are known."""

    name: str
    kind: str
    tensor: str
    """The tensor that its values are made of."""
    labels: tuple[Any, ...] = ()

    def rows(self, found: Any, count: int) -> Any:
        """Its values as an array with one entry for each row. Raises ValueError for other shapes."""
        if self.kind.startswith(_MAPS):
            return self._of_maps(found, count)
        if self.kind == _SEQUENCE:
            if len({np.shape(one) for one in found}) != 1:
                raise ValueError(f"output {self.name} gives tensors of different shapes")
            found = np.stack(found, axis=1)
        elif np.ndim(found) > 2:
            raise ValueError(f"output {self.name} gives the shape {np.shape(found)} for {count} rows")
        if np.ndim(found) == 0 or len(found) != count:
            raise ValueError(f"output {self.name} gives the shape {np.shape(found)} for {count} rows")
        return found.astype(np.float32) if found.dtype == np.float16 else found

    def _of_maps(self, found: Any, count: int) -> Any:
        if not isinstance(found, list) or len(found) != count:
            raise ValueError(f"output {self.name} does not give a map for each of {count} rows")
        self.labels = self.labels or tuple(sorted(found[0]))
        for row in found:
            if len(row) != len(self.labels) or any(label not in row for label in self.labels):
                raise ValueError(f"output {self.name} gives other classes for one row than for another")
        return np.array([[row[label] for label in self.labels] for row in found], np.float32)


@dataclass
class Outputs:
    chosen: Sequence[_Output]

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.chosen]

    @property
    def tensors(self) -> list[str]:
        return [one.tensor for one in self.chosen]

    def join(self, found: Sequence[Any], count: int) -> Any:
        """One answer for each row: a flat array if there is one column. Raises ValueError."""
        parts = [one.rows(values, count) for one, values in zip(self.chosen, found, strict=True)]
        if len(parts) > 1:
            return np.concatenate([part.reshape(count, -1) for part in parts], axis=1)
        [part] = parts
        return part[:, 0] if part.ndim == 2 and part.shape[1] == 1 else part


def choose(
    declared: Sequence[Any], model: ModelProto | None, environment: Mapping[str, str], name: str
) -> Outputs:
    """Choose among the ``declared`` outputs, and log the choice if there are several. Raises ArtifactError."""
    wanted = environment.get(VARIABLE, "")
    shown = ", ".join(f"{one.name}: {one.type}" for one in declared)
    if wanted:
        fitting = [one for one in declared if one.name == wanted]
        if not fitting:
            raise ArtifactError(f"{VARIABLE} is {wanted!r}, which is no output of {name}; it has {shown}")
        if not _is_readable(fitting[0]):
            raise ArtifactError(
                f"{VARIABLE}: output {wanted} of {name} is a {fitting[0].type}, which is not served"
            )
    else:
        fitting = _choose_default(declared)
    if not fitting:
        raise ArtifactError(
            f"{name} gives no tensor with a row for each row of a request, but {shown}; name an output by {VARIABLE},"
            " or export the model with such an output"
        )
    outputs = Outputs([_output(one, model) for one in fitting])
    _print_choice(outputs, declared)
    return outputs


def _is_readable(one: Any) -> bool:
    tensor = one.type in _FRACTIONS | _WHOLE | _OTHERS | _TEXT
    return (
        tensor or one.type == _SEQUENCE or (one.type.startswith(_MAPS) and one.type.endswith(",tensor(float)))"))
    )


def _choose_default(declared: Sequence[Any]) -> list[Any]:
    fitting = [one for one in declared if _is_readable(one) and len(one.shape or ()) in _RANKS]
    fractions = [one for one in fitting if one.type not in _WHOLE | _OTHERS | _TEXT]
    return fractions or [one for one in fitting if one.type not in _TEXT] or fitting


def _output(one: Any, model: ModelProto | None) -> _Output:
    maker = _map_maker(one.name, model) if one.type.startswith(_MAPS) else None
    if maker is None:
        return _Output(one.name, one.type, one.name)
    return _Output(one.name, one.type, maker.input[0], _labels(maker))


def _map_maker(name: str, model: ModelProto | None) -> NodeProto | None:
    made = [node for node in model.graph.node if name in node.output] if model is not None else []
    return made[0] if len(made) == 1 and (made[0].domain, made[0].op_type) == ("ai.onnx.ml", "ZipMap") else None


def _labels(maker: NodeProto) -> tuple[Any, ...]:
    for one in maker.attribute:
        if one.name == "classlabels_strings" and one.strings:
            return tuple(text.decode("utf-8", "replace") for text in one.strings)
        if one.name == "classlabels_int64s" and one.ints:
            return tuple(one.ints)
    return ()


def _print_choice(outputs: Outputs, declared: Sequence[Any]) -> None:
    for one in outputs.chosen:
        if one.labels:
            listed = ", ".join(map(repr, one.labels[:20])) + (", ..." if len(one.labels) > 20 else "")
            print(
                f"the probabilities in output {one.name} are those of the classes {listed}, in this order",
                flush=True,
            )
    if len(declared) > 1:
        others = [one.name for one in declared if one.name not in outputs.names]
        also = f" and not {', '.join(others)}" if others else ""
        print(
            f"an answer holds output {', '.join(outputs.names)}{also}; {VARIABLE} names one of the model's outputs",
            flush=True,
        )
