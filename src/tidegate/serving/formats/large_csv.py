"""Parses CSV of many rows fast: integers by one pass of numpy, other numbers by pyarrow if it is installed, else as
one JSON list.

Only complete rows of numbers of the same width are parsed here, with empty cells as missing values. Everything
else is left to ``row_decoder``, which can report errors. As there, numbers become doubles and then the requested
type.
"""

from importlib.util import find_spec
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from tidegate.domain.decoding import prepare_type

# Parses CSV of integers by arithmetic on machine words: many cells at once, without a loop in Python. Numbers of
# up to four digits are computed from bytes, at every byte of the text at once. If there are longer ones, a cell of
# up to four (or eight) characters is one word: numpy joins digits to pairs, pairs to fours, and so on, in all
# words at once. This is exact: no word exceeds 99,999,999.


Floats = NDArray[np.floating[Any]]

BLOCK = 128 * 1024
"""Bytes per block, so that intermediate arrays stay in the processor's cache."""
MINUS, COMMA, NEWLINE = 45, 44, 10
_ZERO, _CARRY, _HIGH = 0x30, 0x76, 0x80


class _Word(NamedTuple):
    """``steps``: bits to shift by, factor of the upper half, and mask of the sum."""

    kind: type[Any]
    size: int
    steps: tuple[tuple[int, int, int], ...]

    def every(self, byte: int) -> Any:
        return self.kind(int.from_bytes(bytes([byte]) * self.size, "little"))


_SHORT = _Word(np.uint32, 4, ((8, 10, 0x00FF00FF), (16, 100, 0x0000FFFF)))
_LONG = _Word(
    np.uint64,
    8,
    ((8, 10, 0x00FF00FF00FF00FF), (16, 100, 0x0000FFFF0000FFFF), (32, 10_000, 0x00000000FFFFFFFF)),
)


def integer_rows(body: bytes, count: int, dtype: DTypeLike = np.float32) -> Floats | None:
    """Parse rows of ``count`` columns, at least two; empty cells are NaN. None for a body with anything but integers
    of up to eight characters (sign included), commas, and ends of lines ("\n")."""
    if b"." in body:
        return None
    found = []
    at = 0
    while at < len(body):
        end = at + BLOCK
        if end < len(body):
            end = body.rfind(b"\n", at, end) + 1 or len(body)
        block = _block(body[at:end], count, dtype)
        if block is None:
            return None
        found.append(block)
        at = end
    return np.concatenate(found) if found else None


def _block(body: bytes, count: int, dtype: DTypeLike) -> Floats | None:
    padded = b"0" * 7 + b"\n" + body + (b"" if body.endswith(b"\n") else b"\n")
    text = np.frombuffer(padded, np.uint8)[7:]  # with the end of the line before
    seams = text < MINUS  # all that may be there besides digits and "-" is smaller
    ends = np.flatnonzero(seams[1:])
    lines = len(ends) // count
    if len(ends) != lines * count or np.count_nonzero(text == COMMA) != lines * (count - 1):
        return None
    if np.count_nonzero(text[1:].take(ends[count - 1 :: count]) == NEWLINE) != lines:
        return None
    found = _parse_few_digits(text[:-1], seams[:-1], ends, dtype)
    if found is None:
        widths = np.diff(ends, prepend=-1)
        widths -= 1
        widest = int(widths.max())
        if widest > _LONG.size:
            return None
        numbers = _numbers(padded, ends, widths, _SHORT if widest <= _SHORT.size else _LONG, b"-" in body)
        found = None if numbers is None else _split_signs(*numbers, widths, dtype)
    return None if found is None else found.reshape(lines, count)


def _parse_few_digits(
    text: NDArray[np.uint8], seams: NDArray[np.bool_], lasts: NDArray[np.int64], dtype: DTypeLike
) -> Floats | None:
    """Parse numbers of up to four digits: compute for every byte of the text the number that ends there, and select
    the last byte of each cell (``lasts``). All steps but one are on bytes, so they are faster than the fewer steps on
    words. None for longer numbers, -0, and errors."""
    values = text - np.uint8(_ZERO)
    digit, minus = values < 10, text == MINUS
    if np.count_nonzero(digit) + np.count_nonzero(minus) + len(lasts) != len(text):
        return None  # more than digits
    signs = bool(minus.any())
    if signs and ((minus[1:] & ~seams[:-1]).any() or (minus[:-1] & ~digit[1:]).any() or minus[-1]):
        return None  # a sign begins a number
    values *= digit
    values[1:] += values[:-1] * np.uint8(10)
    two = digit[1:] & digit[:-1]
    longer = bool((two[1:] & two[:-1]).any())
    numbers: NDArray[Any] = values.view(np.int8)
    if longer:
        if (two[3:] & two[2:-1] & two[1:-2] & two[:-3]).any():
            return None
        values *= digit
        numbers = values.astype(np.int16)
        numbers[2:] += np.multiply(values[:-2] * digit[1:-1], 100, dtype=np.int16)
    if signs and not _negate(numbers, digit, minus, two if longer else None):
        return None
    found: Floats = numbers.take(lasts).astype(dtype)
    if seams[-1] or (seams[1:] & seams[:-1]).any():
        found[~digit.take(lasts)] = np.nan
    return found


def _negate(
    numbers: NDArray[Any],
    digit: NDArray[np.bool_],
    minus: NDArray[np.bool_],
    two: NDArray[np.bool_] | None,
) -> bool:
    """Negate the numbers with a sign; False if one is zero, whose sign would be lost. ``two``: positions where two
    digits end, if there are longer numbers."""
    negative = np.zeros(len(minus), np.bool_)
    negative[1:] = minus[:-1]
    negative[2:] |= minus[:-2] & digit[1:-1]
    if two is not None:
        negative[3:] |= minus[:-3] & two[1:-1]
        negative[4:] |= minus[:-4] & two[1:-2] & digit[3:-1]
    if (negative & digit & (numbers == 0)).any():
        return False
    sign = -negative.view(np.int8)
    numbers ^= sign
    numbers -= sign
    return True


def _numbers(
    padded: bytes, ends: NDArray[np.int64], widths: NDArray[np.int64], word: _Word, signs: bool
) -> tuple[NDArray[Any], NDArray[np.bool_] | None] | None:
    """The numbers, and which of them are negative. ``padded`` has eight bytes before the first cell, so that a word
    can end at every cell."""
    views = np.ndarray((len(padded) - 8,), word.kind, padded, offset=8 - word.size, strides=(1,))
    cells = views.take(ends)
    shift = word.kind(8 * word.size) - (widths.astype(word.kind) << word.kind(3))
    negative = None
    if signs:
        negative = ((cells >> shift) & word.kind(0xFF)) == MINUS
        negative &= widths > 0
        if (negative & (widths == 1)).any():
            return None  # a sign without digits
        shift += negative * word.kind(8)
    cells ^= word.every(_ZERO)
    cells >>= shift
    cells <<= shift  # clear the bytes before the digits
    if (((cells + word.every(_CARRY)) | cells) & word.every(_HIGH)).any():
        return None  # more than digits
    for bits, tens, kept in word.steps:
        upper = cells >> word.kind(bits)
        cells *= word.kind(tens)
        cells += upper
        cells &= word.kind(kept)
    return cells, negative


def _split_signs(
    cells: NDArray[Any], negative: NDArray[np.bool_] | None, widths: NDArray[np.int64], dtype: DTypeLike
) -> Floats:
    found: Floats = cells.astype(dtype)
    if negative is not None:  # the sign is a float's first bit
        bits: Any = np.uint32 if found.itemsize == 4 else np.uint64
        found.view(bits)[:] |= negative.astype(bits) << bits(8 * found.itemsize - 1)
    if not widths.all():
        found[widths == 0] = np.nan
    return found


SMALLEST = 16 * 1024
"""Bytes from which on this is faster."""
ARROW = 64 * 1024
"""Bytes from which on pyarrow is faster; it releases the GIL."""
_decode = msgspec.json.Decoder(prepare_type(list[float])).decode
_CELLS = b"0123456789.+-eE \t"
_HAS_ARROW = find_spec("pyarrow") is not None


def rows(body: bytes, count: int, dtype: DTypeLike = np.float32) -> NDArray[np.floating[Any]] | None:
    """Parse rows of ``count`` columns; None if the general parser is needed."""
    if len(body) < SMALLEST or count < 2:
        return None
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    if (whole := integer_rows(body, count, dtype)) is not None:
        return whole
    if b"\r" in body or b"\n\n" in body or body.startswith(b"\n"):
        return None
    lines = body.count(b"\n") + (not body.endswith(b"\n"))
    if len(body) >= ARROW and _HAS_ARROW:
        return _parse_by_arrow(body, count, lines, dtype)
    seams = body.translate(None, _CELLS)
    if seams.rstrip(b"\n") != (b"," * (count - 1) + b"\n") * (lines - 1) + b"," * (count - 1):
        return None  # other widths, other characters
    try:
        values = _decode(b"[%b]" % body.rstrip(b"\n").replace(b"\n", b","))
    except msgspec.DecodeError:
        return None
    return np.fromiter(values, dtype, len(values)).reshape(lines, count) if lines else None


def _parse_by_arrow(body: bytes, count: int, lines: int, dtype: DTypeLike) -> NDArray[np.floating[Any]] | None:
    import pyarrow as arrow  # noqa: PLC0415  # slow to import, and only large bodies need it
    from pyarrow import csv  # noqa: PLC0415

    names = [str(number) for number in range(count)]
    reading = csv.ReadOptions(column_names=names, use_threads=False, block_size=len(body) + 1)
    parsing = csv.ParseOptions(quote_char=False, ignore_empty_lines=False)
    numbers = csv.ConvertOptions(
        column_types=dict.fromkeys(names, arrow.float64()), null_values=[""], strings_can_be_null=False
    )
    try:
        table = csv.read_csv(arrow.BufferReader(body), reading, parsing, numbers)
    except arrow.ArrowInvalid:
        return None
    if table.num_rows != lines:
        return None
    found = np.empty((lines, count), dtype)
    with np.errstate(over="ignore"):
        for number, column in enumerate(table.columns):
            found[:, number] = column.to_numpy()
    return found
