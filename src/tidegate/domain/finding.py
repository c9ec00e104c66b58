"""Finding of a comparison of two versions."""

from enum import StrEnum


class Finding(StrEnum):
    """Result of a comparison. Only PASS says that the new version is not worse; what is UNDECIDED or has NO_DATA is
    neither a pass nor a failure."""

    PASS = "pass"
    """Not worse: the difference is within its tolerance, with certainty."""
    FAIL = "fail"
    """Worse: the difference is above its tolerance, with certainty."""
    NO_DATA = "no_data"
    """Too little was observed."""
    UNDECIDED = "undecided"
    """Enough was observed to look, and not enough to know."""
