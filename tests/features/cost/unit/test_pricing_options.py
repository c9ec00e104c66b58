"""Ways of serving by their names."""

import pytest

from tests.features.cost.unit.bills import PACKAGED, load
from tidegate.domain.errors import Invalid
from tidegate.features.cost.fleet import ScalingBounds
from tidegate.features.cost.hosted import BatchJob, RequestWork
from tidegate.features.cost.many_models import ModelPool
from tidegate.features.cost.pricing_options import EXAMPLES, Figures, PricingOption

FIGURES = Figures(ScalingBounds(50, 1, 4), RequestWork(0.05), job=BatchJob(1000, 12), models=ModelPool(10, 1e6))


@pytest.mark.parametrize("text", EXAMPLES.values())
def test_every_way_has_a_bill_that_costs_something(text: str) -> None:
    way = PricingOption.named(text)
    assert str(way) == text
    bill = way.bill(PACKAGED, FIGURES, load(5, "business_hours"))
    assert bill.total > 0
    assert all(line.why for line in bill.lines)


def test_a_way_alone_is_that_of_its_example() -> None:
    assert PricingOption.named("serverless") == PricingOption("serverless", "2GB")


@pytest.mark.parametrize("text", ["", "sagemaker:ml.c5.xlarge", "serverless:"])
def test_what_is_no_way_is_told_with_those_that_are(text: str) -> None:
    with pytest.raises(Invalid, match=r"serverless:2GB|unknown instance type"):
        PricingOption.named(text).bill(PACKAGED, FIGURES, load(1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serverless:2", "no amount of memory"),
        ("fargate:2GB", "vCPUs and memory"),
        ("fargate:0x2GB", "must be above 0"),
        ("lambda:1.2.3GB", "no number"),
    ],
)
def test_sizes_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        PricingOption.named(text).bill(PACKAGED, FIGURES, load(1))


def test_megabytes_are_parts_of_aws_gigabytes() -> None:
    small = PricingOption.named("serverless:512MB").bill(PACKAGED, FIGURES, load(1))
    large = PricingOption.named("serverless:1GB").bill(PACKAGED, FIGURES, load(1))
    assert large.total == pytest.approx(2 * small.total)


def test_figures_that_a_way_needs_are_asked_for() -> None:
    bare = Figures(ScalingBounds(50, 1, 4), RequestWork(0.05))
    with pytest.raises(Invalid, match="say records=50000"):
        PricingOption.named("batch").bill(PACKAGED, bare, load(1))
    with pytest.raises(Invalid, match="say models=1000"):
        PricingOption.named("multi-model").bill(PACKAGED, bare, load(1))
