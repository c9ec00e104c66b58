"""Prices: a dated catalogue of rates, each row with its region, source and date."""

from tidegate.prices.price_catalogue import EC2, HOSTING, Catalogue, Discount, price_folder
from tidegate.prices.rates import (
    EVERYWHERE,
    HOME,
    MAIN_REGIONS,
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
    "HOME",
    "HOSTING",
    "MAIN_REGIONS",
    "BadPrices",
    "Catalogue",
    "Discount",
    "InstanceType",
    "MissingPrice",
    "Rate",
    "UnknownInstanceType",
    "UnknownRegion",
    "price_folder",
]
