"""DataProcessing: what of each record goes to the model, and what of record and answer goes to the output."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.domain.transform import DataProcessing, SplitType
from tidegate.transform import strict_json
from tidegate.transform.csv_lines import BOM, BadField, split_fields, split_lines, without_bom
from tidegate.transform.paths import Missing, parse

CSV, JSON_LINES, JSON = "text/csv", "application/jsonlines", "application/json"
FORMS = (CSV, JSON_LINES, JSON)


class Unfit(Exception):
    """A record, or its answer, that cannot be processed. ``record``: which of the batch, from 0."""

    def __init__(self, record: int, message: str) -> None:
        super().__init__(message)
        self.record = record


def kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def check(processing: DataProcessing, content_type: str, accept: str, split: SplitType, by_line: bool) -> None:
    """Raises Invalid for what cannot be joined or filtered."""
    if processing.plain:
        return
    given = kind(content_type)
    if given not in FORMS:
        raise Invalid(f"DataProcessing needs ContentType {', '.join(FORMS)}, not '{content_type}'")
    if accept and kind(accept) != given:
        raise Invalid(f"DataProcessing needs the same form in and out: Accept is '{accept}', not '{content_type}'")
    wanted = SplitType.NONE if given == JSON else SplitType.LINE
    if split is not wanted or by_line is not (given != JSON):
        raise Invalid(f"DataProcessing of {given} needs SplitType and AssembleWith {wanted}")
    for text in (processing.input_filter, processing.output_filter):
        parse(text, table=given == CSV)


class Processor:
    """For one job's form of data. ``begins``: whether a batch begins an object, where a byte order mark may stand."""

    def __init__(self, processing: DataProcessing, content_type: str) -> None:
        form = kind(content_type)
        self._form = form
        self._join = processing.join
        self._before = parse(processing.input_filter, table=form == CSV)
        self._after = parse(processing.output_filter, table=form == CSV)

    def before(self, body: bytes, begins: bool = False) -> bytes:
        """What the model gets of a batch. Raises Unfit."""
        if self._before.all:
            return body
        body = without_bom(body) if begins else body
        if self._form == CSV:
            sent = _written(_each(rows(body), self._before.columns()))
            # What is data would be taken for a mark.
            return BOM + sent if begins and sent.startswith(BOM) else sent
        return _encoded(_each(self._documents(body), self._before.of))

    def after(self, body: bytes, answer: bytes, begins: bool = False) -> bytes:
        """What the output gets of a batch and its answer. Raises Unfit, also where they have not the same length."""
        if not self._join and self._after.all:
            return answer
        body = without_bom(body) if begins else body
        if self._form == CSV:
            return self._table(body, answer)
        outputs = self._documents(answer)
        if self._join:
            inputs = self._documents(body)
            _same(len(inputs), len(outputs))
            outputs = [_joined(*pair) for pair in zip(inputs, outputs, strict=True)]
        return _encoded(_each(outputs, self._after.of))

    def _documents(self, body: bytes) -> list[Any]:
        return _each([body] if self._form == JSON else split_lines(body), _document)

    def _table(self, body: bytes, answer: bytes) -> bytes:
        if self._after.all:
            return _side_by_side(split_lines(body), split_lines(answer))
        found = rows(answer)
        if self._join:
            given = rows(body)
            _same(len(given), len(found))
            found = [left + right for left, right in zip(given, found, strict=True)]
        return _written(_each(found, self._after.columns()))


def _side_by_side(left: list[bytes], right: list[bytes]) -> bytes:
    _same(len(left), len(right))
    return b"".join([b"%b,%b\n" % pair for pair in zip(left, right, strict=True)])


def rows(body: bytes) -> list[list[bytes]]:
    """Cells stay as they are written, quotes included. Raises Unfit."""
    found = []
    for number, line in enumerate(split_lines(body)):
        try:
            found.append(split_fields(line))
        except BadField as bad:
            raise Unfit(number, f"column {bad.column + 1}: {bad}") from None
    return found


def _written(table: Iterable[Sequence[bytes]]) -> bytes:
    return b"".join([b",".join(row) + b"\n" for row in table])


def _document(text: bytes) -> Any:
    try:
        return strict_json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Missing(f"it is not JSON: {error}") from None
    except ValueError as error:
        raise Missing(str(error)) from None


def _joined(given: Any, output: Any) -> Any:
    """SageMaker's names."""
    if isinstance(given, dict):
        return {**given, "SageMakerOutput": output}
    return {"SageMakerInput": given, "SageMakerOutput": output}


def _encoded(documents: Iterable[Any]) -> bytes:
    lines = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in documents)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _each(items: Iterable[Any], change: Callable[[Any], Any]) -> list[Any]:
    done: list[Any] = []
    for number, item in enumerate(items):
        try:
            done.append(change(item))
        except Missing as missing:
            raise Unfit(number, str(missing)) from None
    return done


def _same(records: int, answers: int) -> None:
    if records != answers:
        raise Unfit(0, f"{records} records got {answers} answers, which cannot be told apart")
