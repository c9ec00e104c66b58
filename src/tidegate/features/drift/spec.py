"""The ``drift`` section of a spec: its structure."""

from typing import Annotated

from msgspec import Meta, Struct

from tidegate.spec.value_types import Duration, about


class DriftSection(Struct, forbid_unknown_fields=True):
    """A schedule that repeatedly compares captured requests with a baseline."""

    baseline: Annotated[
        str,
        about(
            "A baseline of 'tidegate drift schedule baseline', or SageMaker's statistics.json: a path (relative to"
            " the spec file), a file:// or an s3:// address.",
            "s3://baselines/fraud.json",
        ),
    ]
    every: Annotated[Duration, about("Time between two looks.")] = "1m"
    window: Annotated[Duration, about("How far back each look goes.")] = "5m"
    by: Annotated[list[str], Meta(description="Columns whose values are compared by themselves, too.")] = []
    columns: Annotated[
        list[str], Meta(description="Columns of rows without names. Default: those of the baseline.")
    ] = []
    score: Annotated[str, about("Place of the score in an answer.", "predictions[0].score")] | None = None
    least: Annotated[float, Meta(description="Smallest distance that matters.")] = 0.1
    false_alarms: Annotated[float, Meta(description="Part of what is found in a day that may be chance.")] = 0.05
    zone: Annotated[str, about("Time zone of the calendar.", "Europe/Berlin")] = "UTC"
