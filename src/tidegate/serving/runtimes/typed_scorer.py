"""A scorer of rows whose columns are of different types, each an array of its own."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tidegate.serving.contract.answer_counts import split_answers
from tidegate.serving.contract.invocation import Call
from tidegate.serving.contract.signature import ModelSignature, describe_columns
from tidegate.serving.formats import rounding, row_decoder
from tidegate.serving.formats.typed_rows import Columns, TypedRows
from tidegate.serving.runtimes.tabular_scorer import TabularScorer


class ColumnTable(TabularScorer):
    """A ``batching.Scorer``; ``predict`` gives one result per row."""

    def __init__(
        self, predict: Callable[[Columns], Any], typed: TypedRows, accept: str | None, batches: bool = True
    ) -> None:
        self._typed = typed
        super().__init__(predict, row_decoder.Features(len(typed.names), typed.names), accept, batches)

    @cached_property
    def signature(self) -> ModelSignature:
        names = self._typed.names if self._typed.named else None
        return describe_columns(names, [one.dtype.name for one in self._typed.inputs])

    def parse(self, call: Call) -> Any:
        self._form(call)  # raises if no answer is acceptable
        return self._read(call, begins=True)

    def _decode(self, call: Call, begins: bool) -> Any:
        return self._typed.read(call.body, call.content_type, begins)

    def strip_bom(self, body: bytes) -> bytes:
        return self._typed.strip_bom(body)

    def header(self, line: bytes, content_type: str) -> bool:
        return self._typed.header(line, content_type)

    def size(self, rows: Any) -> int:
        return len(next(iter(rows.values())))

    def score(self, requests: Sequence[Any]) -> Sequence[Any]:
        if len(requests) == 1:
            return [self._predict(requests[0])]
        joined = {name: np.concatenate([one[name] for one in requests]) for name in self._typed.names}
        return split_answers(self._predict(joined), list(map(self.size, requests)))

    def score_again(self, rows: Any) -> Any:
        return self._predict({name: values.copy() for name, values in rows.items()})

    def difference(self, rows: Any, alone: Any, batched: Any) -> str:
        return rounding.difference(self._predict, rows, alone, batched, self._scale)
