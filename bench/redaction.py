"""What redaction leaves of planted identities, and what it takes from honest rows, which have nothing personal.

    python -m bench.redaction [--rows 20000] [--planted 10000] [--keep]

Identities are planted in bodies of CSV and JSON, in sentences, names of members, nested and encoded texts; one is
left if it is found in what would be written, in any of the forms that it may have there. That nothing of them comes
into logs and metrics either is for ``tests/features/capture/property/test_capture_identities.py`` to show.

Rows are drawn with a seed: amounts, counts, ratios, scores, times, ids and categories as payroll models have them.
A value that is not as it was is a false finding. The detectors are all on; no field is named.
"""

import argparse
import csv
import io
import json
import random
import time
from collections.abc import Callable

from bench import tables
from bench.identities import People, find_traces, wrap_in
from tidegate.domain.capture import Redaction
from tidegate.features.capture.records import CSV, JSON, Body
from tidegate.features.capture.redaction import Redactor

Row = list[object]


def numbers(draw: random.Random) -> Row:
    """Only numbers, of every size: nine and ten digits as well, as cents and epoch seconds have."""
    return [
        round(draw.lognormvariate(7, 2), 2),
        draw.randrange(10**8, 10**9),
        draw.randrange(10**9, 10**10),
        draw.random(),
        -draw.expovariate(1e-3),
        draw.randrange(40),
        1.7e9 + draw.randrange(10**8),
        draw.random() * 1e-9,
    ]


def features(draw: random.Random) -> Row:
    """Numbers beside categories, dates and identifiers."""
    day = f"{draw.randrange(2000, 2030)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}"
    return [
        *numbers(draw)[:4],
        draw.choice(("US", "DE", "IN", "BR")),
        draw.choice(("monthly", "off-cycle", "full time", "ml.c5.large")),
        day,
        f"{day}T{draw.randrange(24):02d}:{draw.randrange(60):02d}:00Z",
        f"{draw.getrandbits(64):016x}",
        f"{draw.randrange(100, 999)}-{draw.randrange(100, 999)}",
    ]


def titled(draw: random.Random) -> Row:
    """Categories that are written like names."""
    return [draw.choice(("New York", "Senior Engineer", "Human Resources", "Full Time")), *numbers(draw)[:3]]


KINDS: dict[str, Callable[[random.Random], Row]] = {
    "numbers": numbers,
    "numbers, categories, dates, ids": features,
    "categories of two capitalised words": titled,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    parser.add_argument("--planted", type=int, default=10_000)
    given = parser.parse_args()
    plants = [plant(kind, given.planted // len(PLANTS)) for kind in PLANTS]
    title = f"What redaction leaves of {given.planted // len(PLANTS) * len(PLANTS):,} planted identities"
    tables.show(
        "identities", title, ["identities", "planted", "left"], plants, keep=given.keep, command="redaction"
    )
    rows = [
        measure(what, draw, form, given.rows)
        for what, draw in KINDS.items()
        for form in ("CSV", "JSON", "JSON text")
    ]
    title = f"What redaction takes from {given.rows:,} honest rows, all detectors on"
    tables.show(
        "redaction", title, ["rows of", "form", "values", "changed", "share", "µs a row"], rows, keep=given.keep
    )


PLANTS: dict[str, Callable[[People], str]] = {
    "social security numbers": People.ssn,
    "tax numbers": People.tax_number,
    "IBANs": People.iban,
    "e-mail addresses": People.email,
    "telephone numbers": People.phone,
    "names": People.name,
}


def plant(what: str, count: int) -> list[object]:
    people, redactor, left = People(17), Redactor(Redaction(), b"a key for this benchmark"), 0
    for _ in range(count):
        identity = PLANTS[what](people)
        kind, body = wrap_in(people, identity)
        text = kind.decode()
        found = redactor.redact(Body(body, text, CSV if text == "text/csv" else JSON), True)
        written = "" if found is None else found.data.decode()
        left += any(trace in written for trace in find_traces(identity))
    return [what, f"{count:,}", f"{left:,}"]


def measure(what: str, make: Callable[[random.Random], Row], form: str, count: int) -> list[object]:
    draw, redactor = random.Random(17), Redactor(Redaction(), b"a key for this benchmark")
    values = changed = 0
    took = 0.0
    for _ in range(count):
        row = make(draw)
        cells: Row = [str(value) for value in row] if form != "JSON" else row
        body = encode(cells, form)
        began = time.process_time()
        found = redactor.redact(body, True)
        took += time.process_time() - began
        values += len(cells)
        left = decode(found.data, form) if found is not None else []
        changed += len(cells) if len(left) != len(cells) else sum(a != b for a, b in zip(cells, left, strict=True))
    return [what, form, f"{values:,}", f"{changed:,}", f"{changed / values:.2%}", f"{took / count * 1e6:.0f}"]


def encode(cells: list[object], form: str) -> Body:
    if form == "CSV":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(cells)
        return Body(out.getvalue().encode(), "text/csv", CSV)
    named = {f"feature_{number}": value for number, value in enumerate(cells)}
    return Body(json.dumps(named).encode(), "application/json", JSON)


def decode(data: bytes, form: str) -> list[object]:
    if form == "CSV":
        return list(next(csv.reader(io.StringIO(data.decode()))))
    return list(json.loads(data).values())


if __name__ == "__main__":
    main()
