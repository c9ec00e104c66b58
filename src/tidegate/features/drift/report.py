"""The report of one look in SageMaker's shapes: statistics.json of the window, constraints.json of the baseline,
constraint_violations.json. Blocks."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tidegate.domain.drift import DriftReportPlace
from tidegate.features.drift.compare import DriftReport
from tidegate.features.drift.shapes import make_constraints, make_statistics
from tidegate.rows.profile import TableProfile
from tidegate.storage.addresses import parse
from tidegate.storage.output_files import OutputFile, OutputFiles
from tidegate.storage.s3 import S3


def make_report(
    baseline: TableProfile,
    present: TableProfile,
    found: DriftReport,
    least: float,
    constraints: dict[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """File name -> document. ``baseline`` gives the constraints, unless there are some, ``present`` the statistics;
    ``least``: the smallest distance that matters."""
    return {
        "statistics.json": make_statistics(present),
        "constraints.json": make_constraints(baseline, least) if constraints is None else constraints,
        "constraint_violations.json": {"violations": [asdict(one) for one in found.violations]},
    }


def write_report(place: DriftReportPlace, documents: Mapping[str, object], s3: tuple[str, str]) -> None:
    """Each file appears whole, in place of an earlier one. ``s3``: endpoint and region. Raises TidegateError."""
    folder = place.address.rstrip("/")
    bodies = {name: json.dumps(document, indent=2).encode() for name, document in documents.items()}
    target = parse(folder, prefix=True)
    if target.is_file:
        files = OutputFiles([Path(root) for root in place.roots])
        errors = files.put_all([OutputFile(f"{folder}/{name}", body, 1) for name, body in bodies.items()])
        for error in errors:
            if error is not None:
                raise error
        return
    bucket = S3(*s3).bucket(target.bucket)
    for name, body in bodies.items():
        key = f"{target.path}/{name}".lstrip("/")
        bucket.upload(body, key, content_type="application/json", kms_key=place.kms_key)
