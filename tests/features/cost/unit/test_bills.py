"""Bills by hand: each way of serving against figures that can be worked out on paper."""

import pytest

from tests.features.cost.unit.bills import PACKAGED, ROUND, load
from tidegate.domain.errors import Invalid
from tidegate.features.cost import containers, hosted, on_demand
from tidegate.features.cost.bill import Bill
from tidegate.features.cost.breakeven import fixed_against_scaled
from tidegate.features.cost.extras import Extras
from tidegate.features.cost.fleet import ScalingBounds, fleet
from tidegate.features.cost.hosted import BatchJob, RequestWork
from tidegate.features.cost.many_models import ModelPool, dedicated_against_shared
from tidegate.features.cost.on_demand import OnDemandUsage
from tidegate.prices import MissingPrice

YEAR = 8760


def amounts(bill: Bill) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in bill.lines:
        found[line.item] = found.get(line.item, 0.0) + line.amount
    return found


def test_two_instances_all_the_time() -> None:
    bill = hosted.real_time(PACKAGED, "ml.c5.xlarge", ScalingBounds(100, 2, 2), load(1))
    assert bill.month == pytest.approx(297.84)
    assert [line.quantity for line in bill.lines] == [2 * YEAR]


def test_payroll_fraud_costs_about_400_dollars_a_month() -> None:
    """ml.c5.xlarge, 2 to 10 instances; the ordinary busy hour fits in one, so that of the two
    one may fail, and ten times that needs all ten."""
    bill = hosted.real_time(
        PACKAGED,
        "ml.c5.xlarge",
        ScalingBounds(40 / 0.7, 2, 10),
        load(40, "payroll"),
        Extras(bytes_in=2000, bytes_out=200, alarms=2),
    )
    assert 350 <= bill.month <= 450
    assert bill.lines[0].amount == pytest.approx(12 * 297.84)
    assert {line.why.split(":")[0] for line in bill.lines[1:5]} == {
        "above the minimum, year end",
        "above the minimum, tax forms",
        "above the minimum, tax filing",
        "above the minimum, pay days",
    }
    assert bill.warnings == ()


@pytest.mark.parametrize("year", range(2024, 2036))
def test_payroll_fraud_costs_that_in_every_year(year: int) -> None:
    bill = hosted.real_time(PACKAGED, "ml.c5.xlarge", ScalingBounds(40 / 0.7, 2, 10), load(40, "payroll", year))
    assert 350 <= bill.month <= 450


def test_an_instance_that_is_no_longer_needed_is_paid_until_it_is_scaled_in() -> None:
    made = fleet(load(10, "business_hours"), ScalingBounds(5, 1, 10, target=1.0, waves=0))
    monday = made.paid[4 * 24 : 5 * 24]  # 5 January 2026
    assert made.counts[4 * 24 + 7 : 4 * 24 + 20] == (1, *(2,) * 10, 1, 1)
    assert monday[17:20] == (2.0, 1.25, 1.0)


def test_within_an_hour_the_count_goes_with_the_waves() -> None:
    made = fleet(load(40), ScalingBounds(10, 1, 9, target=1.0, waves=0.5))
    # 40, 50 and 60 requests/s: four, five and six instances.
    assert made.counts[0] == 6
    assert made.hours == pytest.approx(5 * YEAR)


def test_data_volumes_and_alarms() -> None:
    bill = hosted.real_time(
        ROUND,
        "ml.one",
        ScalingBounds(10, 1, 1),
        load(1),
        Extras(bytes_in=1e6, bytes_out=5e5, volume_gib=73, alarms=3),
    )
    requests = YEAR * 3600
    assert amounts(bill) == {
        "sagemaker-hosting/ml.one": YEAR,
        "sagemaker-data/in": pytest.approx(requests * 1e-3),
        "sagemaker-data/out": pytest.approx(requests * 5e-4 * 2),
        "sagemaker-storage/gb-month": pytest.approx(73 * 12 * 0.1),
        "cloudwatch/alarm-month": pytest.approx(3 * 12 * 0.1),
    }


def test_the_range_of_a_rate_is_that_of_its_bill() -> None:
    bill = hosted.real_time(ROUND, "ml.one", ScalingBounds(10, 1, 1), load(1))
    assert (bill.low, bill.total, bill.high) == (YEAR / 2, YEAR, YEAR * 2)
    assert bill.month_low == pytest.approx(365)


def test_too_few_instances_are_told() -> None:
    bill = hosted.real_time(ROUND, "ml.one", ScalingBounds(10, 1, 2), load(100))
    assert bill.warnings[0].startswith("8760 hours need more than 2 instances can answer (20 requests/s")


def test_serverless_is_paid_by_the_gigabyte_second() -> None:
    bill = on_demand.serverless(ROUND, OnDemandUsage(2, 0.1), load(1))
    assert bill.total == pytest.approx(YEAR * 3600 * 2 * 0.1 * 0.001)


def test_idle_hours_of_serverless_cost_nothing() -> None:
    assert on_demand.serverless(ROUND, OnDemandUsage(2, 0.1), load(0)).total == 0
    assert on_demand.serverless(ROUND, OnDemandUsage(2, 0.1), load(0)).lines == ()


def test_provisioned_concurrency_is_paid_at_all_hours_and_its_requests_cost_less() -> None:
    bill = on_demand.serverless(ROUND, OnDemandUsage(1, 0.5, provisioned=1), load(4))
    # Two requests at one time: one of them is on what is kept warm.
    seconds = YEAR * 3600
    assert amounts(bill) == {
        "sagemaker-serverless/gb-second": pytest.approx(seconds * 0.001),
        "sagemaker-serverless/provisioned-run-gb-second": pytest.approx(seconds * 0.0005),
        "sagemaker-serverless/provisioned-gb-second": pytest.approx(seconds * 0.0001),
    }


def test_lambda_counts_requests_too() -> None:
    bill = on_demand.function(PACKAGED, OnDemandUsage(1, 0.1), load(1))
    requests = YEAR * 3600
    assert amounts(bill) == {
        "lambda/gb-second": pytest.approx(requests * 0.1 * 0.0000166667),
        "lambda/requests": pytest.approx(requests / 1e6 * 0.2),
    }


def test_more_memory_than_there_is_is_told() -> None:
    assert "at most 6 GB" in on_demand.serverless(ROUND, OnDemandUsage(8, 1), load(1)).warnings[0]


def test_an_asynchronous_endpoint_without_requests_costs_nothing() -> None:
    assert hosted.asynchronous(ROUND, "ml.one", RequestWork(10), (0, 4), load(0)).total == 0


def test_a_busy_asynchronous_endpoint_is_paid_for_its_work() -> None:
    bill = hosted.asynchronous(ROUND, "ml.one", RequestWork(1), (0, 4), load(2))
    assert amounts(bill)["sagemaker-hosting/ml.one"] == pytest.approx(2 * YEAR)


def test_an_hour_of_few_requests_is_paid_until_the_instance_is_scaled_in() -> None:
    # A request an hour: 36 s of work and a quarter of an hour.
    bill = hosted.asynchronous(ROUND, "ml.one", RequestWork(36), (0, 4), load(1 / 3600))
    assert amounts(bill)["sagemaker-hosting/ml.one"] == pytest.approx(YEAR * 0.26)


def test_a_queue_that_grows_is_told_and_paid_in_the_end() -> None:
    bill = hosted.asynchronous(ROUND, "ml.one", RequestWork(1), (0, 1), load(2))
    assert amounts(bill)["sagemaker-hosting/ml.one"] == pytest.approx(2 * YEAR)
    assert "8,760 hours of work" in bill.warnings[0]


def test_batch_jobs_are_paid_while_they_run() -> None:
    job = BatchJob(records=36_000, runs=12, instances=2, startup=360)
    bill = hosted.batch(ROUND, "ml.one", job, RequestWork(0.1))
    # Half an hour of work on each of two, and a tenth of an hour to start.
    assert amounts(bill)["sagemaker-hosting/ml.one"] == pytest.approx(12 * 2 * 0.6)


def test_monthly_attrition_over_50000_employees_costs_cents() -> None:
    bill = hosted.batch(PACKAGED, "ml.m5.xlarge", BatchJob(50_000, 12), RequestWork(0.002, 4))
    assert 0 < bill.month < 1


def test_fargate_and_eks() -> None:
    scaling = ScalingBounds(10, 2, 2)
    tasks = amounts(containers.fargate(PACKAGED, containers.Task(1, 2), scaling, load(1)))
    assert tasks["fargate/vcpu-hour"] == pytest.approx(2 * YEAR * 0.04048)
    assert tasks["fargate/gb-hour"] == pytest.approx(2 * 2 * YEAR * 0.004445)
    assert tasks["alb/hour"] == pytest.approx(YEAR * 0.0225)
    nodes = amounts(containers.eks(PACKAGED, "m5.large", scaling, load(1)))
    assert nodes["eks/cluster-hour"] / 12 == pytest.approx(73)
    assert nodes["ec2/m5.large"] == pytest.approx(2 * YEAR * 0.096)


def test_what_ran_is_billed_by_the_second() -> None:
    bill = hosted.ran(ROUND, "ml.one", [(0, 2), (1800, 4), (3600, 2)], 7200)
    assert bill.total == pytest.approx(1 + 2 + 2)
    assert bill.hours == 2
    with pytest.raises(Invalid, match="comes after"):
        hosted.ran(ROUND, "ml.one", [(10, 2), (5, 1)], 20)
    with pytest.raises(Invalid, match="no counts"):
        hosted.ran(ROUND, "ml.one", [], 20)


def test_a_thousand_clients_on_one_endpoint_save_more_than_nine_tenths() -> None:
    """Nine tenths is what is claimed; computed: small dedicated instances for each against one fleet of many models,
    of which each takes 50 kB, as measured of XGBoost forests."""
    each, one = ScalingBounds(100, 1, 1), ScalingBounds(400, 2, 10)
    made = dedicated_against_shared(
        PACKAGED, ModelPool(1000, 50e3), ("ml.t2.medium", each), ("ml.m5.xlarge", one), load(200, "business_hours")
    )
    assert made.first.month == pytest.approx(1000 * 0.056 * 730)
    assert made.second.month < 400
    assert made.saved > 0.98


def test_models_that_need_more_memory_need_more_instances() -> None:
    scaling = ScalingBounds(400, 1, 1)
    made = dedicated_against_shared(
        PACKAGED, ModelPool(1000, 64 * 2**20), ("ml.m5.large", scaling), ("ml.m5.xlarge", scaling), load(1)
    )
    # 62.5 GiB in four fifths of 16 GiB each.
    assert made.second.month == pytest.approx(5 * 0.23 * 730)


def test_a_fixed_fleet_of_the_busiest_hour_costs_more() -> None:
    made = fixed_against_scaled(ROUND, "ml.one", ScalingBounds(40 / 0.7, 2, 10), load(40, "payroll"))
    assert made.first.total == 10 * YEAR
    assert 0.7 < made.saved < 0.8


def test_a_price_that_is_missing_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(MissingPrice, match="lambda/gb-second"):
        on_demand.function(ROUND, OnDemandUsage(1, 1), load(1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScalingBounds(0, 1, 2), "requests a second that one instance answers"),
        (lambda: ScalingBounds(1, 3, 2), "instances at most is 2; it must be from 3"),
        (lambda: ScalingBounds(1, 1, 2, target=1.5), "target utilisation"),
        (lambda: RequestWork(0), "seconds of one request"),
        (lambda: BatchJob(-1, 12), "records of a job"),
        (lambda: OnDemandUsage(0, 1), "memory"),
        (lambda: Extras(bytes_in=-1), "bytes in"),
        (lambda: ModelPool(0, 1), "models"),
    ],
)
def test_figures_that_cannot_be_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(Invalid, match=message):
        make()
