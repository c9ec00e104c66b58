"""The statistics that a worker shows, second by second: the shape of the page on which the controller reads them.

The worker makes it (``serving/front/request_stats.py``); the controller reads it as hostile input
(``targets/collection/stats_page.py``). A member that is added here is optional to the reader: workers of an earlier
version go on beside a later controller.
"""

from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict

PATH = "/_tidegate/stats"
PAIR_PATH = "/_tidegate/pair"
"""Where a worker answers a copy of a request that another version's worker sends. No client is routed there."""
ACTIVITY = "activity"
"""File in a replica's folder with a number that has risen if the page may have changed since it was read."""
_ACTIVITY_BYTES = 8
KEPT_SECONDS = 180
"""Seconds that a worker keeps."""
MOST_SERIES = 500
"""Series of one second; a worker leaves further ones out."""
CONTAINER, MODEL = "ContainerName", "TargetModel"
"""Dimensions that a worker may add. It must not name an endpoint: that could be another one."""

PREDICTION, NEGATIVE_PREDICTION = "Prediction", "NegativePrediction"
"""The first number of each sampled answer; of a negative one the absolute value, as sketches have no sign."""
UNUSABLE_PREDICTION = "UnusablePrediction"
"""Sampled answers without a finite number."""
SESSION_REPEAT = "SessionRepeat"
"""Requests of a session after its first one: 1 if it failed, else 0."""
CLIENT_REPEAT = "ClientRepeat"
"""The same of requests with REPEAT_HEADER."""
REPEATED_LATENCY = "RepeatedLatency"
"""Their latency, in microseconds."""
REPEAT_HEADER = "X-Tidegate-Repeat"
"""Of a request of a client who stays on one version and was counted in this stage, or is not to be counted in it."""
COMPARED = frozenset(
    {PREDICTION, NEGATIVE_PREDICTION, UNUSABLE_PREDICTION, SESSION_REPEAT, CLIENT_REPEAT, REPEATED_LATENCY}
)
"""Series that only the comparison of two versions reads; they are no metrics."""

PROMPT_TOKENS, COMPLETION_TOKENS = "PromptTokens", "CompletionTokens"
"""Tokens that a language model says it used for a request."""
TOKENS_IN_FLIGHT = "TokensInFlight"
"""Each second: tokens of the requests that a language model has in hand, where there are any."""

SERIES_OF_REPLICA = COMPARED | frozenset(
    {
        PROMPT_TOKENS,
        COMPLETION_TOKENS,
        TOKENS_IN_FLIGHT,
        "FirstChunkLatency",
        "InFlightLatency",
        "DeviceBatchRows",
        "DeviceModelMemory",
        "LoadedModelCount",
        "CaptureBacklog",
        "CaptureDropped",
        "CapturedRequests",
        "MirrorAgreement",
        "MirrorCopies",
        "MirrorDifference",
        "MirrorDropped",
        "MirrorLargestDifference",
        "ModelCacheHit",
        "ModelDownloadingTime",
        "ModelLoadingTime",
        "ModelLoadingWaitTime",
        "ModelSetupTime",
        "ModelUnloadingTime",
        "ModelVersionsPromoted",
        "ModelVersionsRefused",
    }
)
"""Without dimensions."""
SERIES_OF_PART = frozenset(
    {"ContainerLatency", "Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency"}
)
"""Series of one container or one model."""

CountKey = Literal["second", "invocations", "4xx", "5xx", "model_errors"]
SpreadKey = Literal["latency", "overhead"]
PageCountKey = Literal["in_flight", "answered", "activity"]
ValueKey = Literal["count", "total", "low", "high"]


@dataclass
class SpreadRow:
    """Values, times in microseconds: statistics, and the sketch's bins for percentiles."""

    count: int = 0
    total: float = 0
    low: float = 0
    high: float = 0
    bins: dict[int, int] = field(default_factory=dict)


class SeriesRow(TypedDict):
    name: str
    dimensions: dict[str, str]
    spread: SpreadRow


class StageRow(TypedDict):
    """The first row of a stage's output in both versions: finite numbers, texts, and null for what is missing."""

    stage: str
    names: list[str]
    old: list[float | str | None]
    new_names: list[str]
    new: list[float | str | None]


PairRow = TypedDict(
    "PairRow",
    {
        "with": str,
        "old": float | None,
        "new": float | None,
        "failed": bool,
        "traced": bool,
        "key": int,
        "slices": list[tuple[str, str]],
        "stages": list[StageRow],
        "old_failed": NotRequired[bool],
        "lost": NotRequired[bool],
        "row_slices": NotRequired[list[list[tuple[str, str]]]],
        "rows": NotRequired[list[list[tuple[int, float | None, float | None]]]],
        "request": NotRequired[str],
        "texts": NotRequired[tuple[str, str, str]],
    },
)
"""A request that another version was given, too. ``with``: the id of that version's fleet. ``failed``: its model
failed; ``old_failed``: this version's did. ``lost``: the copy was not answered. ``traced``: the outputs of the stages
were asked for. ``key``: equal for equal requests. ``slices``: of the first row, and ``row_slices`` of each row that
is compared, where there are several. ``rows``: of answers with more than one number, the numbers that are compared,
row by row, each as output, old and new value. ``request``: its body as data capture writes it, of those on which the
versions differ most. ``texts``: the request and both answers, where a judge is to compare them."""
LONGEST_JUDGED = 4_000
"""Characters of a request and of an answer that a judge is shown."""
MOST_ROWS = 8
"""Rows of a request that are compared: the first, the last, and some between."""
MOST_OUTPUTS = 8
"""Numbers of a row that are compared: the first, and others in turn from request to request."""
MOST_PAIRS = 40
"""Pairs of one second."""


class TextRow(TypedDict):
    """A sampled answer that is text (``domain.text_answers``). ``first`` in microseconds, ``speed`` in tokens per
    second."""

    began: int
    tokens: int
    given: int | None
    first: int
    speed: float | None
    refusal: bool
    repeated: bool
    empty: bool
    phrases: int


MOST_TEXTS = 40
"""Texts of one second."""

SecondRow = TypedDict(
    "SecondRow",
    {
        "second": int,
        "invocations": int,
        "4xx": int,
        "5xx": int,
        "model_errors": int,
        "latency": SpreadRow,
        "overhead": SpreadRow,
        "series": list[SeriesRow],
        "pairs": NotRequired[list[PairRow]],
        "texts": NotRequired[list[TextRow]],
    },
)
"""One second (epoch). ``4xx`` and ``5xx`` go by the model's own status; no answer at all counts as 5xx."""


class FailureRow(TypedDict):
    """A message of failed requests, without personal data: how many had it since the start, and when the last one did
    (epoch seconds)."""

    message: str
    count: int
    at: float


MOST_FAILURES = 5
"""Distinct messages that a worker keeps."""
LONGEST_FAILURE = 300
"""Characters of one."""


class StatsPage(TypedDict):
    """``now``: epoch seconds when it was made. ``answered``: requests since the start that the model answered with a
    status below 500. ``activity``: the number in the file of that name, absent where the worker cannot write it.
    ``failures``: the last messages of failed requests, the last one first; absent if there is none."""

    replica: str
    now: float
    in_flight: int
    answered: int
    activity: NotRequired[int]
    failures: NotRequired[list[FailureRow]]
    seconds: list[SecondRow]


def encode_activity(number: int) -> bytes:
    return number.to_bytes(_ACTIVITY_BYTES, "little")


def decode_activity(data: bytes) -> int | None:
    """The number; None for what is none."""
    return int.from_bytes(data, "little") if len(data) == _ACTIVITY_BYTES else None


def stats_path(since: int, before: int) -> str:
    """For the seconds ``since <= second < before``."""
    return f"{PATH}?since={since}&before={before}"
