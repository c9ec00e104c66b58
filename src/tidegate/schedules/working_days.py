"""Working days: Monday to Friday, or by a country's weekends and public holidays. Pure.

Public holidays come from the optional package ``holidays``, which computes them; nothing is downloaded.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache

from tidegate.domain.calendar_days import monday_to_friday
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load_module

__all__ = ["REGION_PATTERN", "IsWorkingDay", "monday_to_friday", "working_days_of"]

IsWorkingDay = Callable[[date], bool]
REGION_PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
"""ISO 3166 code of a country or a subdivision."""


@lru_cache(maxsize=256)
def working_days_of(place: str) -> IsWorkingDay:
    """``place``: ISO 3166 code of a country (``CH``) or a subdivision (``CH-ZH``). Raises Invalid if its holidays are
    unknown."""
    unknown = f"the public holidays of {place!r} are not known; use a country such as CH, or a part of it, CH-ZH"
    if not re.fullmatch(REGION_PATTERN, place):  # the package has more than countries under such names
        raise Invalid(unknown)
    country, _, region = place.partition("-")
    try:
        known = load_module("holidays").country_holidays(country, subdiv=region or None)
    except ImportError:
        raise Invalid("public holidays need an optional package: pip install 'tidegate[calendar]'") from None
    except NotImplementedError:
        raise Invalid(unknown) from None
    works: IsWorkingDay = known.is_working_day
    return works
