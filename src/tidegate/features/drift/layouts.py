"""Whether the first column of a baseline is the answer, as SageMaker takes it, or one of the request. Pure."""

from dataclasses import dataclass, replace

from tidegate.rows.captured_rows import CapturedReader, Unusable
from tidegate.rows.profile import PREDICTION, Row


@dataclass
class LayoutReader:
    """Reads captures whose requests have all ``columns`` of the reader, or all but the first, which is then the
    answer. The first usable capture says which; those that are otherwise are of other columns."""

    reader: CapturedReader
    _settled: bool = False
    _first: str = ""
    """The column that is the answer; empty: none is."""

    def read(self, line: bytes) -> tuple[float, list[Row]] | Unusable:
        found = self._read_led(line) if self._first else self.reader.read(line)
        if self._settled:
            return found
        if found is Unusable.OTHER_COLUMNS and len(self.reader.columns) > 1:
            led = self._read_led(line)
            if not isinstance(led, Unusable):
                self._first, found = self.reader.columns[0], led
        self._settled = not isinstance(found, Unusable)
        return found

    def _read_led(self, line: bytes) -> tuple[float, list[Row]] | Unusable:
        first, *others = self.reader.columns
        found = replace(self.reader, columns=others).read(line)
        if isinstance(found, Unusable):
            return found
        moment, rows = found
        if any(PREDICTION not in row for row in rows):
            return Unusable.OTHER_COLUMNS
        return moment, [{first: row[PREDICTION], **_without_answer(row)} for row in rows]


def _without_answer(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != PREDICTION}
