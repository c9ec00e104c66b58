"""A comparison of two versions as tables for people, at most 80 columns wide."""

from collections.abc import Iterator
from dataclasses import asdict

from rich.text import Text

from tidegate.cli.tables import Table, key, number, sentence
from tidegate.features.evidence.replay.labelled import LabelledStatistics
from tidegate.features.evidence.replay.paired import PairedStatistics
from tidegate.features.evidence.replay.report import ComparisonVerdict, VersionComparison
from tidegate.features.evidence.replay.table import tabulate_statistics
from tidegate.features.evidence.replay.tolerances import STATISTICS, Tolerance

SHOWN_ROWS, SHOWN_SLICES = 5, 20


def render(result: VersionComparison) -> Iterator[Table | Text]:
    for name, output in result.outputs.items():
        yield Text(f"{name}: {output.verdict}")
        yield from render(output)
    if result.overall is not None:
        yield _statistics(result.overall)
        yield Text()
    if result.slices:
        yield _slices(result)
        yield Text()
        if len(result.slices) > SHOWN_SLICES:
            yield Text(f"{len(result.slices) - SHOWN_SLICES} further slices: --json or --html shows them")
    if result.labelled is not None:
        yield _label_table(result.labelled)
        yield Text()
    shown = list(result.slices)[:SHOWN_SLICES]
    if finer := [asdict(one) for one in result.replayed if one.slice in shown]:
        yield tabulate_statistics("SLICES BY LABELS", finer)
        yield Text()
    if result.changed:
        yield _change_table(result)
        yield Text()
    if result.findings:
        yield _findings(result)
        yield Text()


def _statistics(found: PairedStatistics) -> Table:
    table = Table(key("STATISTIC"), number("OLD"), number("NEW"), number("CHANGE"), sentence("NOTE"))
    interval = f"95 %: {found.bias_low:+.4g} to {found.bias_high:+.4g}"
    table.add_row("rows", f"{found.rows:,}", f"{found.rows:,}", "", "")
    table.add_row("mean", f"{found.mean_old:.4g}", f"{found.mean_new:.4g}", f"{found.bias:+.4g}", interval)
    table.add_row("mean absolute change", "", "", f"{found.change:.4g}", f"largest: {found.largest:.4g}")
    rank = "-" if found.rank_correlation is None else f"{found.rank_correlation:.4f}"
    table.add_row("rank correlation", "", "", rank, "")
    unit = "in log-odds" if found.log_odds else "in the score"
    table.add_row("rows moved", "", "", f"{found.moved:.1%}", f"by more than {found.step:.4g} {unit}")
    table.add_row("top 5 % changed", "", "", f"{found.top_change:.1%}", f"of {found.top_rows:,} rows")
    return table


def _slices(result: VersionComparison) -> Table:
    table = Table(key("SLICE"), *map(number, ("ROWS", "OLD", "NEW", "CHANGE")), number("MOVED", 1))
    for name, found in list(result.slices.items())[:SHOWN_SLICES]:
        means = f"{found.mean_old:.4g}", f"{found.mean_new:.4g}", f"{found.bias:+.4g}"
        table.add_row(name, f"{found.rows:,}", *means, f"{found.moved:.1%}")
    return table


def _label_table(found: LabelledStatistics) -> Table:
    table = Table(key("BY LABELS"), number("OLD"), number("NEW"), number("CHANGE"), sentence("NOTE"))
    for name, old, new, note in label_rows(found):
        change = "-" if old is None or new is None else f"{new - old:+.4g}"
        table.add_row(name, _number(old), _number(new), change, note)
    return table


def label_rows(found: LabelledStatistics) -> Iterator[tuple[str, float | None, float | None, str]]:
    """Measure, old, new, note."""
    if found.numeric is not None:
        one, two = found.numeric
        labels = f"{found.rows:,} labels"
        yield "mean absolute error", one.mean_absolute_error, two.mean_absolute_error, labels
        yield "root mean square error", one.root_mean_square_error, two.root_mean_square_error, ""
        yield "bias", one.bias, two.bias, ""
    if found.binary is not None:
        before, after = found.binary
        low, high = found.auc_change_low, found.auc_change_high
        note = "" if low is None or high is None else f"95 %: {low:+.4f} to {high:+.4f}"
        yield "AUC", before.auc, after.auc, note
        labels = f"{found.positives:,} of {found.rows:,} labels are 1"
        yield "average precision", before.average_precision, after.average_precision, labels
        unseen = f"{found.unseen:,} labels are neither 0 nor 1: left out" if found.unseen else ""
        yield "log loss", before.log_loss, after.log_loss, ""
        yield "calibration error", before.calibration_error, after.calibration_error, unseen


def _change_table(result: VersionComparison) -> Table:
    table = Table(*map(number, ("CHANGED MOST: ROW", "OLD", "NEW")))
    for row in result.changed[:SHOWN_ROWS]:
        table.add_row(f"{row.number:,}", f"{row.old:.4g}", f"{row.new:.4g}")
    return table


def _findings(result: VersionComparison) -> Table:
    table = Table(key("JUDGED"), number("VALUE"), number("TOLERANCE"), key("VERDICT"))
    shown = [one for one in result.findings if one.slice is None or one.verdict is not ComparisonVerdict.PASS]
    for one in shown:
        value = "-" if one.value is None else str(Tolerance(one.value, one.tolerance.relative))
        what = STATISTICS["mean" if one.statistic == "slice" else one.statistic]
        what = what if one.slice is None else f"{what} of {one.slice}"[:40]
        why = ", as labels show no loss" if one.statistic == "rank" else ", may be chance"
        by_labels = why if one.reason and one.verdict is ComparisonVerdict.PASS else ""
        table.add_row(what, value, str(one.tolerance), f"{one.verdict}{by_labels}")
    passed = len({one.slice for one in result.findings} - {one.slice for one in shown})
    if passed:
        table.add_note("and one slice that passes" if passed == 1 else f"and {passed} slices that pass")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
