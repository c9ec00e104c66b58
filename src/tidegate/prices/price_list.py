"""AWS's Price List API: what is asked of it for the catalogue, and its answers as rates. Pure: the caller asks.

An answer is a product with attributes (``usagetype`` says what is paid for, mostly with a code of the region before
it) and its terms. Only on-demand terms count. Of a price in ranges it is the first that costs anything: a free tier
is left out, as it is everywhere in the catalogue.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tidegate.prices.price_catalogue import EC2, HOSTING
from tidegate.prices.rates import Rate

SOURCE = "AWS Price List API"
HOSTING_NOTE = "of a real-time endpoint; asynchronous endpoints and batch transform are taken to cost the same"
Product = Mapping[str, Any]


@dataclass(frozen=True)
class PriceQuery:
    """One call of GetProducts, with its pages: a service, and the attributes that its products must have."""

    service: str
    filters: Mapping[str, str]


@dataclass(frozen=True)
class _PriceItem:
    """Something of the catalogue: products of a service whose ``usagetype`` is ``usage``, after the region's
    code, and
    which have ``attributes``. ``times`` makes the catalogue's unit of the list's (a million of requests)."""

    service: str
    usage: str
    name: str
    unit: str
    times: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


_ON_DEMAND_LINUX = {
    **{"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"},
    **{"operation": "RunInstances"},
}
MILLION, THOUSAND = 1e6, 1e3
ITEMS = (
    _PriceItem("AmazonSageMaker", r"Host:(ml\..+)", HOSTING + "{0}", "hour", note=HOSTING_NOTE),
    _PriceItem("AmazonSageMaker", r"ServerlessInf:Mem-1GB", "sagemaker-serverless/gb-second", "GB-second"),
    _PriceItem("AmazonSageMaker", r"Hst:Data-Bytes-In", "sagemaker-data/in", "GB"),
    _PriceItem("AmazonSageMaker", r"Hst:Data-Bytes-Out", "sagemaker-data/out", "GB"),
    _PriceItem("AmazonSageMaker", r"Host:VolumeUsage\.gp2", "sagemaker-storage/gb-month", "GB-month"),
    _PriceItem("AmazonEC2", r"BoxUsage:(.+)", EC2 + "{0}", "hour", attributes=_ON_DEMAND_LINUX),
    _PriceItem("AmazonEC2", r"EBS:VolumeUsage\.gp3", "ebs/gp3-gb-month", "GB-month"),
    _PriceItem("AWSLambda", r"Lambda-GB-Second", "lambda/gb-second", "GB-second"),
    _PriceItem("AWSLambda", r"Request", "lambda/requests", "million requests", MILLION),
    _PriceItem("AmazonECS", r"Fargate-vCPU-Hours:perCPU", "fargate/vcpu-hour", "vCPU-hour"),
    _PriceItem("AmazonECS", r"Fargate-GB-Hours", "fargate/gb-hour", "GB-hour"),
    _PriceItem("AmazonEKS", r"AmazonEKS-Hours:perCluster", "eks/cluster-hour", "hour"),
    _PriceItem("AmazonS3", r"Requests-Tier1", "s3/put", "thousand requests", THOUSAND),
    _PriceItem("AmazonS3", r"Requests-Tier2", "s3/get", "thousand requests", THOUSAND),
    _PriceItem("AmazonS3", r"TimedStorage-ByteHrs", "s3/gb-month", "GB-month"),
    _PriceItem("AmazonCloudWatch", r"CW:AlarmMonitorUsage", "cloudwatch/alarm-month", "alarm-month"),
    _PriceItem(
        "AWSELB", r"LoadBalancerUsage", "alb/hour", "hour", attributes={"operation": "LoadBalancing:Application"}
    ),
    _PriceItem(
        "AWSELB", r"LCUUsage", "alb/lcu-hour", "LCU-hour", attributes={"operation": "LoadBalancing:Application"}
    ),
)
_CODE = r"(?:[A-Z]{2,4}[0-9]?-)?"
"""Before a usage type: the region's code, such as ``EUC1-``; us-east-1 has none for its older services."""


def queries(region: str, types: Sequence[str]) -> tuple[PriceQuery, ...]:
    """Return the queries for the prices of a region. ``types`` are the instance types of the catalogue. EC2 is
    queried for each of them, since its list of a region has tens of thousands of products."""
    there = {"regionCode": region}
    found = [PriceQuery(service, there) for service in dict.fromkeys(item.service for item in ITEMS)]
    found.remove(PriceQuery("AmazonEC2", there))
    found.append(PriceQuery("AmazonEC2", {**there, "volumeApiName": "gp3"}))
    plain = sorted({name.removeprefix("ml.") for name in types})
    found += [PriceQuery("AmazonEC2", {**there, **_ON_DEMAND_LINUX, "instanceType": name}) for name in plain]
    return tuple(found)


def rates(products: Iterable[Product], region: str, types: Sequence[str]) -> tuple[Rate, ...]:
    """Return one rate per item of the catalogue. Other products, and instance types outside it, are ignored."""
    found: dict[str, Rate] = {}
    for product in products:
        made = _rate(product, region)
        if made is not None and _is_known(made.item, types) and made.item not in found:
            found[made.item] = made
    return tuple(found.values())


def _is_known(item: str, types: Sequence[str]) -> bool:
    if item.startswith(HOSTING):
        return item.removeprefix(HOSTING) in types
    return not item.startswith(EC2) or f"ml.{item.removeprefix(EC2)}" in types


def _rate(product: Product, region: str) -> Rate | None:
    about = product["product"]["attributes"]
    if about.get("regionCode", region) != region:
        return None
    for item in ITEMS:
        if product["serviceCode"] != item.service or not item.attributes.items() <= about.items():
            continue
        match = re.fullmatch(_CODE + item.usage, about.get("usagetype", ""))
        priced = _price(product) if match else None
        if match and priced is not None:
            amount, day = priced[0] * item.times, priced[1]
            name = item.name.format(*match.groups())
            sku = product["product"]["sku"]
            return Rate(name, region, item.unit, amount, amount, amount, f"{SOURCE}, SKU {sku}", day, item.note)
    return None


def _price(product: Product) -> tuple[float, date] | None:
    """Dollars of one unit, from its first range that costs anything, and since when."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        ranges = sorted(term["priceDimensions"].values(), key=lambda one: float(one.get("beginRange", 0)))
        for one in ranges:
            amount = float(one["pricePerUnit"].get("USD", 0))
            if amount > 0:
                return amount, date.fromisoformat(term["effectiveDate"][:10])
    return None
