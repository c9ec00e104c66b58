"""Names of slices of requests: values of columns, as they are kept. Pure."""

from tidegate.domain.capture import Detector
from tidegate.personal_data.detectors import kind_of, scrub

_MASKED = frozenset({Detector.SSN, Detector.IBAN, Detector.EMAIL, Detector.PHONE})


def name_slice_value(column: str, value: float | str | None) -> str:
    """Identities are masked, whatever column somebody named. Names of people are by the name of their column only, as
    values such as Human Resources look like them."""
    if value is None:
        return ""
    if (kind := kind_of(column)) is not None:
        return f"[{kind}]"
    return f"{value:g}" if isinstance(value, float) else scrub(value, _MASKED, lambda kind, found: f"[{kind}]")
