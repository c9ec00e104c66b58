"""A bill: lines of quantity times rate, each with its reason, so that every dollar is explained."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from tidegate.features.cost.errors import above, at_least
from tidegate.prices import HOME, HOSTING, MAIN_REGIONS, Catalogue, Rate

MONTHS = 12
HOURS_PER_YEAR = 8760.0
GB = 1e9
FREE = Rate("free", "*", "", 0.0, 0.0, 0.0, "nothing is used", date(2026, 1, 1))


@dataclass(frozen=True)
class Tariff:
    """The catalogue as one region sees it. Its methods raise what ``Catalogue.rate`` raises.

    In the main regions the price of ``HOME`` stands in for one that the catalogue does not have there: the row that
    comes back says so in its source (``Rate.stands_in``), and its figure is that of ``HOME``, unchanged.
    """

    catalogue: Catalogue
    region: str = HOME

    def rate(self, item: str) -> Rate:
        if self.catalogue.has(item, self.region) or not self._borrows(item):
            return self.catalogue.rate(item, self.region)
        home = self.catalogue.rate(item, HOME)
        source = (
            f"the price of {HOME}, as none of {self.region} is known here: 'tidegate cost prices update' gets it"
        )
        return replace(home, source=f"{source} ({home.source})", stands_in=self.region)

    def has(self, item: str) -> bool:
        """Whether there is a price, or one that stands in for it."""
        return self.catalogue.has(item, self.region) or self._borrows(item)

    def refuse_unknown_region(self) -> None:
        """Raises UnknownRegion for a region that is none of the main ones and has no row at all."""
        if self.region not in MAIN_REGIONS and self.region not in self.catalogue.regions():
            self.catalogue.rate("region", self.region)

    def _borrows(self, item: str) -> bool:
        return self.region in MAIN_REGIONS and self.catalogue.has(item, HOME)

    def hosting(self, instance: str) -> Rate:
        """Return the price of an hour of a SageMaker instance."""
        return self.rate(HOSTING + instance)

    def line(self, item: str, quantity: float, why: str) -> "BillLine":
        """Make a line at the rate of this name. Only what is used needs a price, so a line of quantity 0 is free."""
        return BillLine(item, quantity, self.rate(item) if quantity > 0 else FREE, why)


@dataclass(frozen=True)
class BillLine:
    """One line of a bill: ``quantity`` (>= 0) of the rate's unit. Amounts are US dollars for the bill's period."""

    item: str
    quantity: float
    rate: Rate
    why: str

    def __post_init__(self) -> None:
        at_least(f"{self.item}: quantity", self.quantity, 0)

    @property
    def unit(self) -> str:
        return self.rate.unit

    @property
    def amount(self) -> float:
        return self.quantity * self.rate.amount

    @property
    def low(self) -> float:
        return self.quantity * self.rate.low

    @property
    def high(self) -> float:
        return self.quantity * self.rate.high


@dataclass(frozen=True)
class Bill:
    """Lines of ``hours`` hours: a year unless said. ``low <= total <= high``: the range over the sources of the
    prices, all low or all high at once. ``warnings`` say what the sum leaves out or what would not work."""

    lines: tuple[BillLine, ...]
    hours: float = HOURS_PER_YEAR
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        above("bill: hours", self.hours, 0)

    @property
    def total(self) -> float:
        return sum(line.amount for line in self.lines)

    @property
    def low(self) -> float:
        return sum(line.low for line in self.lines)

    @property
    def high(self) -> float:
        return sum(line.high for line in self.lines)

    @property
    def month(self) -> float:
        """A twelfth of the bill of a year: the mean month."""
        return self.total * self._per_month

    @property
    def month_low(self) -> float:
        return self.low * self._per_month

    @property
    def month_high(self) -> float:
        return self.high * self._per_month

    @property
    def _per_month(self) -> float:
        # A leap year's bill has 8784 hours and is a year all the same.
        whole = self.hours if HOURS_PER_YEAR <= self.hours <= HOURS_PER_YEAR + 24 else HOURS_PER_YEAR
        return whole / self.hours / MONTHS

    def times(self, count: int) -> "Bill":
        """Return the bill of ``count`` deployments that each cost this much."""
        lines = tuple(
            replace(one, quantity=one.quantity * count, why=f"{count:,} times: {one.why}") for one in self.lines
        )
        return replace(self, lines=lines)

    def __add__(self, other: "Bill") -> "Bill":
        """Add the lines and warnings of another bill of the same period."""
        return Bill(self.lines + other.lines, self.hours, self.warnings + other.warnings)


def bill(lines: Iterable[BillLine], hours: float, warnings: Iterable[str] = ()) -> Bill:
    """Make a bill of the lines whose quantity is above 0."""
    return Bill(tuple(line for line in lines if line.quantity > 0), hours, tuple(warnings))
