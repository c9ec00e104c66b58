"""The scorer of all table runtimes, around a function from rows to results, and helpers to load their model."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.answer_counts import split_answers
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.contract.signature import TEXT, ModelSignature, describe_columns
from tidegate.serving.formats import content_types, rounding, row_decoder
from tidegate.serving.formats.dense_json import Packer
from tidegate.serving.runtimes.forest import Forest

PROBES = 512
"""Rows of a probe."""
DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"


MOST_FORMS = 64
"""Most cached pairs of Content-Type and Accept."""

Rows = bytes | row_decoder.Matrix
"""The rows of one request: floats of the model's type, row by row."""


class _Form(NamedTuple):
    """The forms of request and answer, from the headers."""

    plain: bool
    """Whether the body may be of the most common form, which has a fast parser."""
    answer: str
    lined: bool
    """Whether request and answer have one row per line."""


class Dialect(Protocol):
    """Content types in addition to, or instead of, those of all tables."""

    lined: frozenset[str]
    """Content types with one row per line."""

    def answer_form(self, accept: str, default: str | None, kind: str) -> str:
        """Raises ModelFailed (406)."""
        ...

    def read(
        self, features: row_decoder.Features, body: bytes, content_type: str, begins: bool
    ) -> row_decoder.Matrix:
        """Parse rows, possibly none. Raises ModelFailed."""
        ...

    def write(self, scores: Any, form: str) -> Answer: ...


class TabularScorer:
    """A ``batching.Scorer``; ``predict`` returns one result per row and may run in two threads at once."""

    def __init__(
        self,
        predict: Callable[[Any], Any],
        features: row_decoder.Features,
        accept: str | None,
        batches: bool = True,
    ) -> None:
        self.batches = batches
        self.checks_left: Callable[[], str] | None = None
        """Probes for which loading had no time; they return why requests are to be scored alone, or nothing."""
        self.advise: Callable[[str], str] | None = None
        """What to do about an error in a request, by its message; empty: nothing is known."""
        self._scale: rounding.Scale = 0.0
        self._predict = predict
        self._one: Callable[[bytes], array[float] | None] | None = None
        """The same for one row with one result, by less code; None, of it or by it: not to be had."""
        self._features = features
        self._accept = accept
        self._width = features.dtype.itemsize * features.count
        self._pack = Packer(
            features.count,
            features.dtype.char,
            features.of_kind(row_decoder.ValueKind.WHOLE),
            features.of_kind(row_decoder.ValueKind.FLAG),
        ).rows
        self._forms: dict[tuple[bytes | None, bytes | None], _Form] = {}
        self._last: tuple[Mapping[bytes, bytes], _Form] = ({}, _Form(False, "", False))
        """Headers that were seen last, which requests with the same head share, and their forms."""
        self._dialect: Dialect | None = None

    def follow(self, dialect: Dialect) -> None:
        """Use a dialect. Call this before the first request."""
        self._dialect = dialect

    @cached_property
    def signature(self) -> ModelSignature:
        features = self._features
        kinds = features.kinds or (row_decoder.ColumnType(),) * features.count
        dtypes = [TEXT if one.text else features.dtype.name for one in kinds]
        return describe_columns(features.names, dtypes, arrays=self._dialect is None)

    def parse(self, call: Call) -> Rows:
        if self._form(call).plain and (rows := self._pack(call.body)) is not None:
            return rows
        return self._read(call, begins=True)

    def parse_bare(self, call: Call) -> Rows:
        return self._read(call, begins=False)

    def _read(self, call: Call, begins: bool) -> Rows:
        try:
            rows: Rows = self._decode(call, begins)
            return rows
        except ModelFailed as failed:
            if self.advise is not None and (hint := self.advise(failed.message)):
                raise ModelFailed(failed.status, f"{failed.message} {hint}") from None
            raise

    def _decode(self, call: Call, begins: bool) -> Any:
        if self._dialect is not None:
            return self._dialect.read(self._features, call.body, call.content_type, begins)
        return self._features.read(call.body, call.content_type, begins)

    def strip_bom(self, body: bytes) -> bytes:
        return self._features.strip_bom(body)

    def header(self, line: bytes, content_type: str) -> bool:
        return self._features.header(line, content_type)

    def by_lines(self, call: Call) -> bool:
        return self._form(call).lined

    def size(self, rows: Rows) -> int:
        return len(rows) // self._width if isinstance(rows, bytes) else len(rows)

    def count(self, scores: Any) -> int:
        return len(scores)

    def score(self, requests: Sequence[Rows]) -> Sequence[Any]:
        if len(requests) == 1:
            [rows] = requests
            if self._one is not None and isinstance(rows, bytes) and len(rows) == self._width:
                found = self._one(rows)
                if found is not None:
                    return [found]
            return [self._score(self._matrix(rows))]
        if all(isinstance(rows, bytes) for rows in requests):
            scores = self._score(self._matrix(b"".join(requests)))  # type: ignore[arg-type]
        else:
            scores = self._score(np.concatenate([self._matrix(rows) for rows in requests]))
        return split_answers(scores, list(map(self.size, requests)))

    def _score(self, rows: row_decoder.Matrix) -> Any:
        return self._predict(rows) if len(rows) else rows

    def run(self, rows: Any) -> Any:
        """Call the model: one result per row."""
        return self._predict(rows)

    def allow_batches(self, scale: rounding.Scale) -> None:
        """Allow batches, because rows are independent. ``scale``: magnitude of a typical answer."""
        self.batches = True
        self._scale = scale

    def score_again(self, rows: Any) -> Any:
        return self._score(self._matrix(rows).copy())

    def difference(self, rows: Any, alone: Any, batched: Any) -> str:
        if not len(rows):
            return ""
        return rounding.difference(self._predict, self._matrix(rows), alone, batched, self._scale)

    def render(self, scores: Any, call: Call) -> Answer:
        form = self._form(call).answer
        if isinstance(scores, array) and (self._dialect is not None or form != row_decoder.JSON):
            scores = np.asarray(scores)
        return row_decoder.write(scores, form) if self._dialect is None else self._dialect.write(scores, form)

    def probe(self) -> None:
        """Predict rows of all kinds: a damaged model may fail at some only. Raises whatever the model does."""
        random = np.random.default_rng(0)
        rows = random.normal(size=(PROBES, self._features.count)) * 10.0 ** random.integers(-3, 7, (PROBES, 1))
        rows[random.random(rows.shape) < 0.1] = np.nan
        self._predict(np.vstack([rows, np.zeros((1, self._features.count))]).astype(self._features.dtype))

    def _matrix(self, rows: Rows) -> row_decoder.Matrix:
        if isinstance(rows, bytes):
            return np.frombuffer(rows, self._features.dtype).reshape(-1, self._features.count)
        return rows

    def _form(self, call: Call) -> _Form:
        """Raises ModelFailed (406) if no content type is acceptable."""
        headers, form = self._last
        if headers is call.headers:
            return form
        form = self._find_form(call)
        self._last = (call.headers, form)
        return form

    def _find_form(self, call: Call) -> _Form:
        key = call.headers.get(b"content-type"), call.headers.get(b"accept")
        form = self._forms.get(key)
        if form is None:
            kind = row_decoder.kind_of(call.content_type)
            answer, lined = self._answer_form(call.accept, kind)
            plain = kind == row_decoder.JSON and not self._features.of_kind(row_decoder.ValueKind.CATEGORY)
            form = _Form(plain, answer, {kind, answer} <= lined)
            if len(self._forms) < MOST_FORMS:
                self._forms[key] = form
        return form

    def _answer_form(self, accept: str, kind: str) -> tuple[str, frozenset[str]]:
        if self._dialect is None:
            return row_decoder.choose(accept, self._accept or kind), content_types.LINED
        return self._dialect.answer_form(accept, self._accept, kind), self._dialect.lined


def of_forest(forest: Forest, accept: str | None) -> TabularScorer:
    """A scorer around the trees of an XGBoost model."""
    head = forest.head
    return TabularScorer(forest.predict, _features(head.features, head.names, head.kinds), accept)


@lru_cache(maxsize=1024)
def _features(
    count: int, names: tuple[str, ...] | None, kinds: tuple[row_decoder.ValueKind, ...] | None
) -> row_decoder.Features:
    """Share one object between models with the same features."""
    return row_decoder.Features(count, names, [row_decoder.ColumnType(kind) for kind in kinds or ()])


def only(folder: Path, what: str, suffixes: Sequence[str]) -> Path:
    """The one file of the model data with such a suffix. Raises ArtifactError if there is none, or several."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in suffixes)
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise ArtifactError(f"the model data has several files that may be the {what} ({names}); leave one")
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise ArtifactError(f"the model data has no {what} ({', '.join(suffixes)}); found: {found}")
    return files[0]


def threads(environment: Mapping[str, str]) -> int:
    """Threads per call; raises Invalid."""
    given = environment.get("OMP_NUM_THREADS", "1")
    if not given.isdecimal() or not 0 < int(given) <= 1024:
        raise Invalid(f"OMP_NUM_THREADS must be a number of threads, not {given!r}")
    return int(given)


def default_accept(environment: Mapping[str, str]) -> str | None:
    """The content type of answers to requests without Accept. Raises Invalid."""
    accept = environment.get(DEFAULT_ACCEPT)
    if accept is not None and accept not in row_decoder.TYPES:
        raise Invalid(f"{DEFAULT_ACCEPT} must be one of {', '.join(row_decoder.TYPES)}, not {accept!r}")
    return accept
