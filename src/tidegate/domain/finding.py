"""What a comparison of two versions finds."""

from enum import StrEnum


class Finding(StrEnum):
    """Result of a comparison. NO_DATA is neither a pass nor a failure."""

    PASS = "pass"
    FAIL = "fail"
    NO_DATA = "no_data"
