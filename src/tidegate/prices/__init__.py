"""What things cost: a dated catalogue of rates, each row with its region, source and date."""

from tidegate.prices.catalogue import EC2, HOSTING, Catalogue, Discount
from tidegate.prices.rates import (
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
