"""DataProcessing: which part of each record goes to the model, and which parts of record and answer to the output."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.domain.transform import DataProcessing, SplitType
from tidegate.transform import strict_json
from tidegate.transform.csv_lines import BOM, BadField, split_fields, split_lines, without_bom
from tidegate.transform.paths import MissingValue, parse

CSV, JSON_LINES, JSON = "text/csv", "application/jsonlines", "application/json"
FORMS = (CSV, JSON_LINES, JSON)


class UnfitRecord(Exception):
    """A record, or its answer, that cannot be processed. ``record``: which of the batch, from 0."""

    def __init__(self, record: int, message: str) -> None:
        super().__init__(message)
        self.record = record


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def check(processing: DataProcessing, content_type: str, accept: str, split: SplitType, by_line: bool) -> None:
    """Raises Invalid for what cannot be joined or filtered."""
    if processing.plain:
        return
    given = media_type(content_type)
    if given not in FORMS:
        raise Invalid(f"DataProcessing needs ContentType {', '.join(FORMS)}, not '{content_type}'")
    if accept and media_type(accept) != given:
        raise Invalid(f"DataProcessing needs the same form in and out: Accept is '{accept}', not '{content_type}'")
    wanted = SplitType.NONE if given == JSON else SplitType.LINE
    if split is not wanted or by_line is not (given != JSON):
        raise Invalid(f"DataProcessing of {given} needs SplitType and AssembleWith {wanted}")
    for text in (processing.input_filter, processing.output_filter):
        parse(text, table=given == CSV)


class Processor:
    """For one job's content type. ``begins``: whether a batch begins an object, where a byte order mark may stand."""

    def __init__(self, processing: DataProcessing, content_type: str) -> None:
        form = media_type(content_type)
        self._form = form
        self._join = processing.join
        self._input_filter = parse(processing.input_filter, table=form == CSV)
        self._output_filter = parse(processing.output_filter, table=form == CSV)

    def filter_input(self, body: bytes, begins: bool = False) -> bytes:
        """The model's input for a batch. Raises UnfitRecord."""
        if self._input_filter.all:
            return body
        body = without_bom(body) if begins else body
        if self._form == CSV:
            sent = _to_csv(_apply(rows(body), self._input_filter.columns()))
            # The model's reader would take data that looks like a byte order mark for one.
            return BOM + sent if begins and sent.startswith(BOM) else sent
        return _to_json_lines(_apply(self._documents(body), self._input_filter.select))

    @property
    def accept(self) -> str:
        """The content type that answers are asked for; empty for what the model gives."""
        return CSV if self._form == CSV else ""

    def check_answer(self, content_type: str, answer: bytes) -> None:
        """Raises UnfitRecord for JSON in place of CSV: its commas would be taken for those between columns."""
        kind = media_type(content_type)
        if self._form == CSV and kind in (JSON, JSON_LINES) and answer.lstrip()[:1] in (b"{", b"["):
            raise UnfitRecord(0, f"the answer is {kind}, and DataProcessing of {CSV} needs {CSV}")

    def join_output(self, body: bytes, answer: bytes, begins: bool = False) -> bytes:
        """The output for a batch and its answer. Raises UnfitRecord, also if their numbers of records differ."""
        if not self._join and self._output_filter.all:
            return answer
        body = without_bom(body) if begins else body
        if self._form == CSV:
            return self._table(body, answer)
        outputs = self._documents(answer)
        if self._join:
            inputs = self._documents(body)
            _check_counts(len(inputs), len(outputs))
            outputs = [_join_documents(*pair) for pair in zip(inputs, outputs, strict=True)]
        return _to_json_lines(_apply(outputs, self._output_filter.select))

    def _documents(self, body: bytes) -> list[Any]:
        return _apply([body] if self._form == JSON else split_lines(body), _decode)

    def _table(self, body: bytes, answer: bytes) -> bytes:
        if self._output_filter.all:
            return _join_lines(split_lines(body), split_lines(answer))
        found = rows(answer)
        if self._join:
            given = rows(body)
            _check_counts(len(given), len(found))
            found = [left + right for left, right in zip(given, found, strict=True)]
        return _to_csv(_apply(found, self._output_filter.columns()))


def _join_lines(left: list[bytes], right: list[bytes]) -> bytes:
    _check_counts(len(left), len(right))
    return b"".join([b"%b,%b\n" % pair for pair in zip(left, right, strict=True)])


def rows(body: bytes) -> list[list[bytes]]:
    """Cells stay as they are written, quotes included. Raises UnfitRecord."""
    found = []
    for number, line in enumerate(split_lines(body)):
        try:
            found.append(split_fields(line))
        except BadField as bad:
            raise UnfitRecord(number, f"column {bad.column + 1}: {bad}") from None
    return found


def _to_csv(table: Iterable[Sequence[bytes]]) -> bytes:
    return b"".join([b",".join(row) + b"\n" for row in table])


def _decode(text: bytes) -> Any:
    try:
        return strict_json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MissingValue(f"it is not JSON: {error}") from None
    except ValueError as error:
        raise MissingValue(str(error)) from None


def _join_documents(given: Any, output: Any) -> Any:
    """With SageMaker's names of members."""
    if isinstance(given, dict):
        return {**given, "SageMakerOutput": output}
    return {"SageMakerInput": given, "SageMakerOutput": output}


def _to_json_lines(documents: Iterable[Any]) -> bytes:
    lines = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in documents)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _apply(items: Iterable[Any], change: Callable[[Any], Any]) -> list[Any]:
    done: list[Any] = []
    for number, item in enumerate(items):
        try:
            done.append(change(item))
        except MissingValue as missing:
            raise UnfitRecord(number, str(missing)) from None
    return done


def _check_counts(records: int, answers: int) -> None:
    if records != answers:
        raise UnfitRecord(0, f"{records} records got {answers} answers, which cannot be told apart")


# --- tables as files: the content types and the first bytes of parquet and Arrow ---


TABLE_TYPES = frozenset(
    {
        "application/x-parquet",
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.arrow.file",
    }
)
PARQUET, ARROW, STREAM = MAGIC = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""The first bytes of each table format."""


def is_table(content_type: str) -> bool:
    return media_type(content_type) in TABLE_TYPES
