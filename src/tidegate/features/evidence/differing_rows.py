"""The requests on which two versions differ most, to show to a person. Pure."""

import math
from collections.abc import Iterable, Sequence

from tidegate.domain.evidence import Comparison, ComparisonResult, DifferingRow, Finding
from tidegate.domain.pairs import Pair
from tidegate.features.evidence.pairs import is_net

MOST = 3


def find_row(variant: str, pair: Pair) -> DifferingRow | None:
    """Return the numbers of a pair in which the versions differ most; None: they do not, or the old one has none."""
    numbers = [(output, old, new) for row in pair.paired_rows for output, old, new in row if old is not None]
    if pair.lost or pair.old_failed or not numbers:
        return None
    known = [(output, old, new) for output, old, new in numbers if new is not None and not pair.failed]
    if not known:
        output, old, _ = numbers[0]
        return DifferingRow(variant, old, None, pair.key, output, pair.slices, pair.request)
    output, old, new = max(known, key=lambda one: abs(one[2] - one[1]))
    return DifferingRow(variant, old, new, pair.key, output, pair.slices, pair.request) if new != old else None


def choose_rows(found: Iterable[DifferingRow]) -> tuple[DifferingRow, ...]:
    """Keep of each variant those that differ most, and as many that the new version left without a number, the first
    ones of equals. Equal requests count once."""
    ranked, kept, keys = sorted(found, key=lambda one: -_size(one)), list[DifferingRow](), set[tuple[str, int]]()
    for one in ranked:
        same = [each for each in kept if (each.variant, each.new is None) == (one.variant, one.new is None)]
        if len(same) < MOST and (one.variant, one.key) not in keys:
            kept.append(one)
            keys.update([(one.variant, one.key)] if one.key else [])
    return tuple(kept)


def _size(row: DifferingRow) -> float:
    return math.inf if row.new is None else abs(row.new - row.old)


def show_rows(rows: Sequence[DifferingRow], results: Iterable[ComparisonResult]) -> tuple[DifferingRow, ...]:
    """Choose the rows that a person is shown: of the variant that failed, those that the new version left without a
    number where it failed by that."""
    failed = max(
        (one for one in results if one.finding is Finding.FAIL and one.comparison is Comparison.PAIRED),
        key=lambda one: one.evidence,
        default=None,
    )
    if failed is not None:
        rows = [one for one in rows if one.variant == failed.variant]
    without = failed is not None and is_net(failed.test)
    return tuple(sorted(rows, key=lambda one: ((one.new is None) != without, -_size(one)))[:MOST])
