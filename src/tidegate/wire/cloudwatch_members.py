"""Members that CloudWatch's operations share: dimensions, page tokens and error names."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId
from tidegate.monitoring.alarm_evaluation import INTERVALS
from tidegate.service.metrics import Period
from tidegate.wire.errors import NamedError
from tidegate.wire.operation import Params
from tidegate.wire.validation import Violation

Members = list[dict[str, str]]


def parse_dimensions(params: Params, member: str = "Dimensions") -> dict[str, str]:
    """Dimension name -> value. Raises Invalid for a duplicate name."""
    pairs: Members = params.get(member) or []
    found = {pair["Name"]: pair["Value"] for pair in pairs}
    if len(found) < len(pairs):
        raise Invalid(f"{member} names a dimension twice; give each name once")
    return found


def render_dimensions(found: dict[str, str]) -> Members:
    return [{"Name": name, "Value": value} for name, value in found.items()]


def parse_metric(params: Params) -> MetricId:
    """The metric that ``Namespace``, ``MetricName`` and ``Dimensions`` identify."""
    return MetricId.of(params["Namespace"], params["MetricName"], parse_dimensions(params))


def encode_token(place: Any) -> str:
    """Encode a position in a listing (plain JSON data) as an opaque NextToken."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def decode_token(params: Params, kind: type) -> Any:
    """The position that a NextToken encodes; None without a token. Raises InvalidNextToken for an invalid one."""
    text = params.get("NextToken")
    if text is None:
        return None
    try:
        found = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
    except ValueError:
        found = None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise NamedError("InvalidNextToken", "Request parameter NextToken is invalid")
    return found


def parse_tags(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}


def truncate_to_second(moment: datetime) -> datetime:
    """Truncate to seconds, since CloudWatch compares the ends of a range by the second."""
    return moment.replace(microsecond=0)


def make_period(start: datetime, end: datetime, seconds: int) -> Period:
    """Raises Invalid for a period that CloudWatch does not allow."""
    if seconds not in INTERVALS and (seconds < 60 or seconds % 60):
        raise Invalid(f"Period {seconds} is not 1, 5, 10, 20, 30 or a multiple of 60.")
    return Period.of(start, end, seconds)


@contextmanager
def invalid_as_validation_error() -> Iterator[None]:
    """Turn Invalid into CloudWatch's ValidationError, for operations that validate their members this way."""
    try:
        yield
    except Invalid as error:
        raise Violation(error.message) from None


def raise_bad_combination(message: str) -> NoReturn:
    raise NamedError("InvalidParameterCombinationException", message)


def raise_missing(message: str) -> NoReturn:
    raise NamedError("MissingRequiredParameterException", message)
