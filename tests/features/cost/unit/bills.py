"""A tariff with round figures and a few loads, for tests of bills."""

from datetime import date

from tidegate.features.cost.bill import Tariff
from tidegate.features.cost.shapes import shape
from tidegate.features.cost.traffic import Load, Traffic
from tidegate.prices import Catalogue, InstanceType, Rate

PACKAGED = Tariff(Catalogue.load())
_DAY = date(2026, 1, 1)


def rate(
    item: str, amount: float, low: float | None = None, high: float | None = None, unit: str = "hour"
) -> Rate:
    bottom, top = amount if low is None else low, amount if high is None else high
    return Rate(item, "here", unit, amount, bottom, top, "test", _DAY)


ROUND = Tariff(
    Catalogue(
        [
            rate("sagemaker-hosting/ml.one", 1.0, 0.5, 2.0),
            rate("sagemaker-serverless/gb-second", 0.001, unit="GB-second"),
            rate("sagemaker-serverless/provisioned-gb-second", 0.0001, unit="GB-second"),
            rate("sagemaker-serverless/provisioned-run-gb-second", 0.0005, unit="GB-second"),
            rate("sagemaker-data/in", 1.0, unit="GB"),
            rate("sagemaker-data/out", 2.0, unit="GB"),
            rate("sagemaker-storage/gb-month", 0.1, unit="GB-month"),
            rate("cloudwatch/alarm-month", 0.1, unit="alarm-month"),
            rate("s3/put", 0.01, unit="thousand requests"),
            rate("s3/get", 0.001, unit="thousand requests"),
            rate("s3/gb-month", 0.1, unit="GB-month"),
        ],
        [InstanceType("ml.one", 4, 8.0)],
    ),
    "here",
)


def load(rps: float, name: str = "steady", year: int = 2026) -> Load:
    return Traffic(rps, shape(name)).hours(year)
