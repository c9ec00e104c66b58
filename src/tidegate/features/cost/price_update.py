"""``prices update``: today's prices from AWS's Price List API, as rows of the catalogue."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidegate.cli.output import print_note
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.host.atomic_write import write_atomically
from tidegate.prices import Catalogue, Rate
from tidegate.prices.price_catalogue import RATE_COLUMNS
from tidegate.prices.price_list import PriceQuery, queries, rates

HOME = "us-east-1"
"""Where the Price List API is; it knows the prices of all regions."""


def update(regions: Sequence[str], folder: Path, catalogue: Catalogue) -> dict[str, int]:
    """Writes ``aws-REGION.csv`` into ``folder`` for each region; the number of prices by region. A file is
    written whole
    or stays as it was. Raises TidegateError where the API cannot be asked or knows nothing of a region."""
    client = _client()
    types = [one.name for one in catalogue.instances()]
    counts = {}
    for region in regions:
        found = rates(_products(client, queries(region, types), region), region, types)
        if not found:
            raise Invalid(f"--region {region}: AWS's price list has nothing there; see 'aws ec2 describe-regions'")
        _write(folder / f"aws-{region}.csv", found)
        counts[region] = len(found)
        print_note(f"{region}: {len(found)} prices")
    return counts


def _client() -> Any:
    """By AWS's own rules: credentials, profile and AWS_ENDPOINT_URL_PRICING of the environment."""
    config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5})
    try:
        return botocore.session.get_session().create_client("pricing", region_name=HOME, config=config)
    except BotoCoreError as error:
        raise TidegateError(f"AWS's price list cannot be asked: {error}") from None


def _products(client: Any, asked: Sequence[PriceQuery], region: str) -> Iterator[Any]:
    pages = client.get_paginator("get_products")
    for query in asked:
        filters = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in query.filters.items()]
        try:
            for page in pages.paginate(ServiceCode=query.service, Filters=filters, FormatVersion="aws_v1"):
                for one in page["PriceList"]:
                    yield json.loads(one) if isinstance(one, str) else one
        except ClientError as error:
            told = error.response["Error"]
            raise TidegateError(
                f"AWS's price list refused {query.service} in {region} ({told['Code']}): {told['Message']}; the"
                " caller"
                " needs pricing:GetProducts"
            ) from None
        except BotoCoreError as error:
            raise TidegateError(f"AWS's price list cannot be asked: {error}") from None


def _write(path: Path, found: Sequence[Rate]) -> None:
    made = io.StringIO()
    rows = csv.writer(made, lineterminator="\n")
    rows.writerow(RATE_COLUMNS)
    read = datetime.now(UTC).date()
    for one in sorted(found, key=lambda rate: rate.item):
        source = f"{one.source}, in force since {one.date}"
        rows.writerow(
            [one.item, one.region, one.unit, f"{one.amount:.10g}", "", "", source, read.isoformat(), one.note]
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, made.getvalue().encode(), mode=0o644)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
