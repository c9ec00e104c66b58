"""What things cost: a dated catalogue of rates, each row with its region, source and date."""

from tidegate.advisor.prices.catalogue import EC2, HOSTING, Catalogue, Discount
from tidegate.advisor.prices.rates import (
    EVERYWHERE,
    BadPrices,
    InstanceType,
    MissingPrice,
    Rate,
    UnknownInstanceType,
    UnknownRegion,
)

__all__ = [
    "EC2",
    "EVERYWHERE",
    "HOSTING",
    "BadPrices",
    "Catalogue",
    "Discount",
    "InstanceType",
    "MissingPrice",
    "Rate",
    "UnknownInstanceType",
    "UnknownRegion",
]
