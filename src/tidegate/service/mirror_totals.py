"""Totals of fleets whose requests are copied to a shadow, for the page of Prometheus."""

from dataclasses import dataclass, replace

from tidegate.domain.metric import FleetSecond, WorkerSeries

MIRROR_COUNTERS = (
    ("tidegate_mirror_copies_total", "Copies of requests that a shadow was sent", "copies"),
    ("tidegate_mirror_failed_total", "Copies that the shadow did not answer well", "failed"),
    ("tidegate_mirror_dropped_total", "Copies that were not sent", "dropped"),
    ("tidegate_mirror_compared_total", "Copies answered well by both", "compared"),
    ("tidegate_mirror_agreed_total", "Copies whose two answers say the same", "agreed"),
)


@dataclass(frozen=True)
class MirrorTotals:
    """Totals of a fleet whose requests are copied to a shadow."""

    copies: float = 0
    failed: float = 0
    dropped: float = 0
    compared: float = 0
    agreed: float = 0

    def plus(self, series: WorkerSeries) -> "MirrorTotals":
        count, total = series.values.count, series.values.total
        if series.name == "MirrorCopies":
            return replace(self, copies=self.copies + count, failed=self.failed + count - total)
        if series.name == "MirrorDropped":
            return replace(self, dropped=self.dropped + count)
        if series.name == "MirrorAgreement":
            return replace(self, compared=self.compared + count, agreed=self.agreed + total)
        return self


def add_mirror(before: MirrorTotals | None, second: FleetSecond) -> MirrorTotals | None:
    for series in second.series:
        if series.name in ("MirrorCopies", "MirrorDropped", "MirrorAgreement"):
            before = (before or MirrorTotals()).plus(series)
    return before
