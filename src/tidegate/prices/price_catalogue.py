"""The catalogue: packaged rows of ``data/*.csv``, overridden row by row by a folder of the user's own."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from tidegate.prices.rates import (
    EVERYWHERE,
    BadPrices,
    InstanceType,
    MissingPrice,
    Rate,
    UnknownInstanceType,
    UnknownRegion,
)

INSTANCES = "instances.csv"
"""The one file that is not of rates."""
RATE_COLUMNS = ("item", "region", "unit", "amount", "low", "high", "source", "date", "note")
INSTANCE_COLUMNS = ("name", "vcpus", "memory_gib", "accelerator", "accelerators", "accelerator_gib")
HOSTING = "sagemaker-hosting/"
"""Before the name of an instance type: a SageMaker instance, for endpoints, asynchronous ones and batch transform."""
EC2 = "ec2/"
"""Before the name of an instance type without its ``ml.``: a plain EC2 instance, such as a node of EKS or ECS."""
_SAVINGS = "savings/sagemaker-"

Row = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Discount:
    """Part of the on-demand price (0 to 1) that a commitment of ``years`` saves, from its worst to its best."""

    years: int
    part: float
    low: float
    high: float
    source: str


def price_folder(given: Path | None, state: Path) -> Path | None:
    """The folder whose rows go over the packaged ones: TIDEGATE_PRICES (``given``), or where 'tidegate cost prices
    update' puts them in the state folder; None where there is neither."""
    updated = state.expanduser() / "prices"
    return given if given is not None or not updated.is_dir() else updated


class Catalogue:
    """Rates by item and region, and instance types by name. Immutable once made."""

    def __init__(self, rates: Iterable[Rate], instances: Iterable[InstanceType]) -> None:
        """Index the rates and instance types. Of two rows with the same item and region, the later one counts."""
        self._rates = {(rate.item, rate.region): rate for rate in rates}
        self._instances = {one.name: one for one in instances}

    @classmethod
    def load(cls, folder: Path | None = None) -> "Catalogue":
        """Packaged rows, then those of ``folder`` over them. Raises BadPrices for a file that cannot be used."""
        if folder is not None and not folder.is_dir():
            raise BadPrices(f"{folder}: no such folder; TIDEGATE_PRICES names a folder of CSV files")
        rates: list[Rate] = []
        instances: list[InstanceType] = []
        for place in (files("tidegate.prices") / "data", folder):
            if place is None:
                continue
            for file in sorted(place.iterdir(), key=lambda one: one.name):
                if file.name == INSTANCES:
                    instances += _read(file, INSTANCE_COLUMNS, _instance)
                elif file.name.endswith(".csv"):
                    rates += _read(file, RATE_COLUMNS, _rate)
        return cls(rates, instances)

    def has(self, item: str, region: str) -> bool:
        """Return whether there is a row of this item for this region, or for all."""
        return (item, region) in self._rates or (item, EVERYWHERE) in self._rates

    def rate(self, item: str, region: str) -> Rate:
        """Return the rate of an item in a region, or its rate for all regions. Raises UnknownRegion, MissingPrice,
        and UnknownInstanceType for the item of an instance."""
        found = self._rates.get((item, region)) or self._rates.get((item, EVERYWHERE))
        if found is not None:
            return found
        for prefix, before in ((HOSTING, ""), (EC2, "ml.")):
            if item.startswith(prefix):
                self.instance(before + item.removeprefix(prefix))
        known = self.regions()
        if region not in known:
            near = get_close_matches(region, known, n=1)
            meant = f", did you mean {near[0]!r}?" if near else ""
            raise UnknownRegion(
                f"no prices for region {region!r}{meant} (there are: {', '.join(known)}); "
                f"'tidegate cost prices update --region {region}' gets them, or add rows to a CSV file in the folder "
                "that TIDEGATE_PRICES names",
                known,
            )
        having = self.regions(item)
        raise MissingPrice(
            f"no price of {item} in {region} ({'known in: ' + ', '.join(having) if having else 'known nowhere'}); "
            f"add a row `{item},{region},...` to a CSV file in the folder that TIDEGATE_PRICES names",
            having,
        )

    def hosting(self, instance: str, region: str) -> Rate:
        """An hour of a SageMaker instance. Raises as ``rate`` does."""
        return self.rate(HOSTING + instance, region)

    def instance(self, name: str) -> InstanceType:
        """Return an instance type. Raises UnknownInstanceType with the nearest names."""
        found = self._instances.get(name)
        if found is not None:
            return found
        wanted = name if name.startswith("ml.") else f"ml.{name}"
        near = tuple(get_close_matches(wanted, self._instances, n=3, cutoff=0.6))
        meant = f", did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UnknownInstanceType(f"unknown instance type {name!r}{meant}; `tidegate cost prices` shows all", near)

    def instances(self) -> tuple[InstanceType, ...]:
        """Return all instance types, in the order of the files."""
        return tuple(self._instances.values())

    def regions(self, item: str | None = None) -> tuple[str, ...]:
        """Regions with a row at all, or with one of ``item``."""
        return tuple(
            sorted({region for name, region in self._rates if item in (None, name) and region != EVERYWHERE})
        )

    def rates(self) -> tuple[Rate, ...]:
        """Every row that counts."""
        return tuple(self._rates.values())

    def discount(self, years: int) -> Discount:
        """Return the discount of a SageMaker Savings Plan of ``years``. Raises MissingPrice for a term that is not
        offered."""
        item = f"{_SAVINGS}{years}y"
        found = self._rates.get((item, EVERYWHERE))
        if found is None:
            terms = sorted(name.removeprefix(_SAVINGS) for name, _ in self._rates if name.startswith(_SAVINGS))
            raise MissingPrice(f"no savings plan of {years} years; there are: {', '.join(terms) or 'none'}")
        return Discount(years, found.amount, found.low, found.high, found.source)


def _read(file: Traversable, columns: tuple[str, ...], make: Callable[[Row], T]) -> list[T]:
    """Read the rows of a file, and make an item of each. A row that starts with # is a comment."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrices(f"{file}: cannot be read: {error}") from None
    reader = csv.reader(lines)
    made: list[T] = []
    header: list[str] = []
    for cells in reader:
        if not cells or cells[0].startswith("#"):
            continue
        if not header:
            header = cells
            if tuple(header) != columns:
                raise BadPrices(f"{file}:{reader.line_num}: the columns must be {','.join(columns)}")
            continue
        if len(cells) != len(columns):
            raise BadPrices(f"{file}:{reader.line_num}: {len(cells)} cells, expected {len(columns)}")
        try:
            made.append(make(dict(zip(columns, cells, strict=True))))
        except ValueError as error:
            raise BadPrices(f"{file}:{reader.line_num}: {error}") from None
    return made


def _number(row: Row, column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        raise ValueError(f"{column}: {row[column]!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{column}: {row[column]} must be finite and not negative")
    return value


def _text(row: Row, column: str) -> str:
    if not row[column].strip():
        raise ValueError(f"{column} is missing")
    return row[column].strip()


def _rate(row: Row) -> Rate:
    amount = _number(row, "amount")
    low = _number(row, "low") if row["low"] else amount
    high = _number(row, "high") if row["high"] else amount
    if not low <= amount <= high:
        raise ValueError(f"amount {amount} must lie between low {low} and high {high}")
    if row["item"].startswith(_SAVINGS) and high >= 1:
        raise ValueError(f"{row['item']}: a discount is a part below 1, not percent")
    try:
        day = date.fromisoformat(row["date"])
    except ValueError:
        raise ValueError(f"date: {row['date']!r} is not a day such as 2026-03-07") from None
    names = {column: _text(row, column) for column in ("item", "region", "unit", "source")}
    return Rate(**names, amount=amount, low=low, high=high, date=day, note=row["note"])


def _instance(row: Row) -> InstanceType:
    vcpus, accelerators = _number(row, "vcpus"), _number(row, "accelerators")
    if vcpus != int(vcpus) or accelerators != int(accelerators):
        raise ValueError("vcpus and accelerators must be whole numbers")
    return InstanceType(
        name=_text(row, "name"),
        vcpus=int(vcpus),
        memory_gib=_number(row, "memory_gib"),
        accelerator=row["accelerator"].strip(),
        accelerators=int(accelerators),
        accelerator_gib=_number(row, "accelerator_gib"),
    )
