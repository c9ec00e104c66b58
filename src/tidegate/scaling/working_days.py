"""Which days are worked: Monday to Friday, or as a country's weekends and public holidays have it. Pure.

Public holidays are those of the package ``holidays``, an extra: they are reckoned, nothing is fetched.
"""

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from importlib import import_module

from tidegate.domain.calendar_days import monday_to_friday
from tidegate.domain.errors import Invalid

__all__ = ["PLACE", "Works", "monday_to_friday", "of"]

IsWorkingDay = Callable[[date], bool]
REGION_PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
"""A country, or a part of one, by ISO 3166."""


@lru_cache(maxsize=256)
def working_days_of(place: str) -> IsWorkingDay:
    """``place``: ISO 3166, a country (``CH``) or a part of one (``CH-ZH``). Raises Invalid where its holidays are not
    known."""
    unknown = f"the public holidays of {place!r} are not known; use a country such as CH, or a part of it, CH-ZH"
    if not re.fullmatch(REGION_PATTERN, place):  # the package has other things than countries under their names
        raise Invalid(unknown)
    country, _, region = place.partition("-")
    try:
        known = import_module("holidays").country_holidays(country, subdiv=region or None)
    except ImportError:
        raise Invalid("public holidays need a package more: pip install 'tidegate[calendar]'") from None
    except NotImplementedError:
        raise Invalid(unknown) from None
    works: IsWorkingDay = known.is_working_day
    return works
