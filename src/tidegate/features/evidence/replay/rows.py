"""The labelled rows of a replay: a table or JSON Lines with a column of labels, or captures with ground truth."""

import os
from collections.abc import Iterator
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory

from tidegate.domain.errors import ArtifactError, Invalid, TidegateError
from tidegate.domain.replay import ReplayConfig
from tidegate.host.late_import import load
from tidegate.rows.label_lines import Label, read_event_id, read_label
from tidegate.rows.row_files import RowSet, RowTerms, read_captures, read_csv_rows, read_lines_of_rows
from tidegate.rows.sources import list_files
from tidegate.storage.addresses import parse
from tidegate.storage.files import check_roots, check_tag, open_plain, resolve_existing, tag_of
from tidegate.storage.s3 import S3

LARGEST = 4 * 1024**3
"""Bytes of a table in a bucket."""
MOST_LABELS = 1_000_000
UNLABELLED, CONTRADICTORY = "captured row without a label", "contradictory label"
Roots = tuple[str, ...] | None


def read_rows(config: ReplayConfig, roots: Roots, s3: tuple[str, str]) -> RowSet:
    """``roots``: folders that ``file://`` may lead into; ``s3``: endpoint and region. Raises TidegateError."""
    try:
        found = (_read_captures if config.labels else _read_table)(config, roots, s3)
    except UnicodeDecodeError:
        raise Invalid(f"the rows {config.rows} cannot be read: not UTF-8 text") from None
    except OSError as error:
        raise ArtifactError(f"the rows {config.rows} cannot be read: {error.strerror}") from None
    except TidegateError as error:
        raise type(error)(f"rows {config.rows}: {error.message}") from None
    if config.by and found.requests and config.by not in found.columns:
        raise Invalid(f"rows {config.rows}: no row has a column {config.by!r}, by which slices are judged")
    return found


def _read_table(config: ReplayConfig, roots: Roots, s3: tuple[str, str]) -> RowSet:
    terms = RowTerms(config.label, frozenset(config.leave_out), config.columns, config.other_labels)
    place = parse(config.rows)
    name = Path(place.path).name
    with TemporaryDirectory(prefix="tg-rows-") as folder:
        if place.is_file:
            rows = open_plain(resolve_existing(Path(place.path), roots), roots)
        else:
            path = Path(folder, "rows")
            with path.open("wb") as file:
                S3(*s3).bucket(place.bucket).download(place.path, file, _check_size)
            rows = path.open("rb")
        with rows:
            if name.endswith(".parquet"):
                return read_csv_rows(
                    load("tidegate.features.batch.runner.table_io", "parquet_lines")(rows), terms, name
                )
            if name.endswith(".csv"):
                with TextIOWrapper(rows, "utf-8-sig", newline="") as table:
                    return read_csv_rows(table, terms, name)
            return read_lines_of_rows(rows, terms, name)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise Invalid(f"it has {size:,} bytes, and at most {LARGEST:,} are replayed: use a sample")


def _read_captures(config: ReplayConfig, roots: Roots, s3: tuple[str, str]) -> RowSet:
    """Captured requests that have a label, and no other."""
    labels, contradictory = _read_labels(config.labels, roots, s3)
    terms, found = RowTerms("", frozenset(config.leave_out), config.columns), RowSet()
    for line in _lines(config.rows, roots, s3):
        label = labels.get(read_event_id(line) or "")
        if label is None:
            found.skipped[UNLABELLED] += 1
            continue
        read = read_captures([line], terms)
        found.skipped.update(read.skipped)
        for request in read.requests:
            found.add(replace(request, label=label.value))
    if contradictory:
        found.skipped[CONTRADICTORY] = contradictory
    return found


def _read_labels(address: str, roots: Roots, s3: tuple[str, str]) -> tuple[dict[str, Label], int]:
    """By id, without those that contradict each other, of which the number is returned as well."""
    found: dict[str, Label] = {}
    contradictory: set[str] = set()
    for line in _lines(address, roots, s3):
        label = read_label(line, "")
        if not isinstance(label, Label):
            continue
        if found.setdefault(label.id, label).value != label.value:
            contradictory.add(label.id)
        if len(found) > MOST_LABELS:
            raise Invalid(f"there are more than {MOST_LABELS:,} labels: use a sample of them")
    return {id: label for id, label in found.items() if id not in contradictory}, len(contradictory)


def _lines(address: str, roots: Roots, s3: tuple[str, str]) -> Iterator[bytes]:
    place = parse(address, prefix=True)
    if place.is_file:
        # Before anything is looked for: a client must not learn which files exist elsewhere.
        check_roots(Path(os.path.realpath(place.path)), roots)
    some = False
    for file in list_files(address, s3):
        some = True
        yield from _plain_lines(Path(file.path), roots) if place.is_file else file.lines()
    if not some:
        raise ArtifactError("there is nothing")


def _plain_lines(path: Path, roots: Roots) -> Iterator[bytes]:
    """Lines of a file that are not empty. What was opened is what was checked and what is read."""
    with open_plain(resolve_existing(path, roots), roots) as file:
        tag = tag_of(os.fstat(file.fileno()))
        yield from (line for each in file if (line := each.removesuffix(b"\n")).strip())
        check_tag(file.fileno(), tag)
