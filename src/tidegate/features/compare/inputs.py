"""The inputs of ``compare``: two models, and rows."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidegate.cli.artifacts import address_model, look_up_models, prepare
from tidegate.cli.capture_addresses import captured_at
from tidegate.cli.client import ApiClient
from tidegate.cli.output import client
from tidegate.cli.spec_file import read_spec
from tidegate.domain.errors import Invalid
from tidegate.domain.registry import Model
from tidegate.domain.registry_addresses import is_registry_address
from tidegate.features.evidence.replay.scoring.models import (
    model_at,
    model_of_spec,
    served_model,
    serving_entry,
    serving_variant,
)
from tidegate.features.evidence.replay.tolerance_learning import FEWEST
from tidegate.rows.captures import read_window
from tidegate.rows.row_files import (
    RowSet,
    RowTerms,
    draw_captures,
    read_captures,
    read_csv_rows,
    read_lines_of_rows,
)
from tidegate.rows.sources import read_lines
from tidegate.settings import Settings
from tidegate.spec.units import seconds

CAPTURED = re.compile(r"last-\d{1,6}[a-z]{1,3}")
"""The time whose captures are meant, and not a file."""
DAY = 86_400
LONGEST = 400 * DAY
"""Seconds back: the folder of each hour is looked at."""
MOST_CAPTURED = 20_000
"""Captures that are asked at most; of more so many are drawn."""
OPEN_FOR = 3_600.0
"""Seconds for which a file of captures may be open."""
RECORDED_WITHIN, POLL_EVERY = 10.0, 0.2
"""Seconds for which the server may take to record model data, and between two looks."""


@dataclass(frozen=True)
class ComparedModel:
    """One of the models to compare. ``name``: for people. ``artifacts``: folder of kept model data, for the model
    that an endpoint serves."""

    name: str
    model: Model
    artifacts: Path | None = None


@dataclass(frozen=True)
class ComparedModels:
    """The models to compare. ``honest``: good versions from which tolerances are learned."""

    old: ComparedModel
    new: ComparedModel
    honest: tuple[ComparedModel, ...]


def choose_models(
    versions: list[str], endpoint: str, variant: str, honest: Sequence[str], settings: Settings
) -> ComparedModels:
    """Find the models that the arguments name. Raises Invalid, or the server's error."""
    if 0 < len(honest) < FEWEST:
        raise Invalid(
            f"--with honest: tolerances are learned from {FEWEST} versions or more, and {len(honest)} are given"
        )
    expected = 1 if endpoint else 2
    if len(versions) != expected:
        raise Invalid("expected OLD and NEW, or --endpoint NAME and NEW")
    now = datetime.now(UTC)
    old = _serving_model(endpoint, variant, now) if endpoint else _read_model(versions[0], variant, settings, now)
    of_files = "" if endpoint else variant
    new, *others = (_read_model(each, of_files, settings, now) for each in (versions[-1], *honest))
    return ComparedModels(old, new, tuple(others))


def _read_model(given: str, variant: str, settings: Settings, now: datetime) -> ComparedModel:
    path = Path(given).expanduser()
    if is_registry_address(given):
        loaded, variant = address_model(given), ""
    elif path.suffix not in (".yaml", ".yml"):
        return ComparedModel(given, model_at(path, settings, now))
    else:
        loaded = read_spec(path)
    loaded.refuse_placeholders()
    wish = loaded.wish(now, look_up_models(loaded, prepare(loaded, path.parent, must_exist=True)))
    return ComparedModel(given, model_of_spec(wish, variant, given))


def _serving_model(endpoint: str, variant: str, now: datetime) -> ComparedModel:
    """Return the model that an endpoint of this machine's server serves, with the model data that it had when it was
    deployed. Raises Invalid if that is not recorded."""
    with client() as server:
        entry = _recorded_entry(server, endpoint)
        chosen = serving_variant(entry, variant, endpoint)
        config = server.describe("DescribeEndpointConfig", EndpointConfigName=entry["config"])
        named = {one["VariantName"]: one["ModelName"] for one in config["ProductionVariants"]}
        described = server.describe("DescribeModel", ModelName=named[chosen])
        state = server.version()["state"]
    digests = entry["artifact_digests"].get(chosen)
    if digests is None:
        raise Invalid(f"endpoint {endpoint}: its model data is not recorded (not yet, or its target keeps none)")
    name = f"{endpoint} (version {entry['version']})"
    return ComparedModel(name, served_model(described, digests, now), Path(state, "artifacts").expanduser())


def _recorded_entry(server: ApiClient, endpoint: str) -> dict[str, Any]:
    """Return the history entry of the serving version. Its model data is recorded some moments after it began to
    serve."""
    deadline = time.monotonic() + RECORDED_WITHIN
    while True:
        entry = serving_entry(server.history(endpoint), endpoint)
        if entry["artifact_digests"] or time.monotonic() >= deadline:
            return entry
        time.sleep(POLL_EVERY)


def read_given_rows(endpoint: str, given: str, terms: RowTerms, by: str, settings: Settings) -> RowSet:
    """Read the rows that the arguments name. Raises Invalid or ArtifactError."""
    if CAPTURED.fullmatch(given):
        return _read_captured(endpoint, given, terms, by, settings)
    return _read_rows(given, terms, by, settings)


def _read_captured(endpoint: str, given: str, terms: RowTerms, by: str, settings: Settings) -> RowSet:
    """Read the rows that an endpoint captured in the last days. Raises Invalid."""
    if not endpoint:
        raise Invalid("--captured: give --endpoint NAME, whose captures are meant; --rows FOLDER reads any others")
    if terms.label:
        raise Invalid("captures have no labels: 'tidegate labels measure' measures by those that came later")
    last = seconds(given.removeprefix("last-"), ("--captured",), least=1)
    if last > LONGEST:
        raise Invalid(f"--captured {given}: give {LONGEST // DAY} days at most")
    before = time.time()
    since = before - last
    addresses = captured_at(endpoint)
    if not addresses:
        raise Invalid(f"--captured {given}: endpoint {endpoint} captures nothing; --rows FILE gives rows")
    s3 = (settings.s3_endpoint, settings.region)
    lines = (line for at in addresses for _, line in read_window(at, since, before, OPEN_FOR, s3))
    found = draw_captures(lines, terms, MOST_CAPTURED, since, before)
    _check_column(found, by)
    return found


def _check_column(found: RowSet, by: str) -> None:
    if by and found.requests and by not in found.columns:
        hint = "; --with columns=A,B names those of captured rows without names" if not found.columns else ""
        raise Invalid(f"--by {by}: no row has such a column{hint}")


def _read_rows(given: str, terms: RowTerms, by: str, settings: Settings) -> RowSet:
    """Read rows from a CSV file, a file of lines, or captures in a folder or at an address. Raises Invalid or
    ArtifactError."""
    path = Path(given).expanduser()
    try:
        if "://" in given or path.is_dir():
            if terms.label:
                raise Invalid(
                    "captures have no labels: 'tidegate labels measure' measures by those that came later"
                )
            address = given if "://" in given else str(path)
            found = read_captures(
                (line for _, line in read_lines(address, (settings.s3_endpoint, settings.region))), terms
            )
        elif path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as table:
                found = read_csv_rows(table, terms, given)
        else:
            with path.open("rb") as lines:
                found = read_lines_of_rows(lines, terms, given)
    except OSError as error:
        raise Invalid(f"the rows {given} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Invalid(f"the rows {given} cannot be read: not UTF-8 text") from None
    _check_column(found, by)
    return found
