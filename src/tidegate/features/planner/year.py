"""What a plan costs in each month of its year: pure."""

import math
from calendar import monthrange
from dataclasses import replace
from itertools import accumulate

from tidegate.features.cost.bill import MONTHS, Tariff
from tidegate.features.cost.traffic import Load
from tidegate.features.planner import pricing
from tidegate.features.planner.plan import Plan

EVEN = "cloudwatch/alarm-month"
"""What costs the same in every month."""


def monthly(plan: Plan) -> list[float]:
    """Dollars of January to December; together the plan's bill. A job's runs are taken to be spread evenly."""
    load = plan.priced.load
    if load is None:
        return [plan.bill.total / MONTHS] * MONTHS
    tariff = Tariff(plan.catalogue, plan.facts["region"])
    beside, _ = pricing.extras(plan.facts, tariff)
    moving = replace(beside, alarms=0)
    parts = [
        pricing.price_load(plan.facts, plan.size, month, tariff, moving).total for month in split_by_month(load)
    ]
    even = math.fsum(line.amount for line in plan.bill.lines if line.item == EVEN)
    whole = math.fsum(parts)
    # A month by itself knows nothing of the instances that the one before left: cents, which are spread.
    scale = (plan.bill.total - even) / whole if whole else 0.0
    return [even / MONTHS + part * scale for part in parts]


def split_by_month(load: Load) -> list[Load]:
    days = [monthrange(load.year, month)[1] for month in range(1, MONTHS + 1)]
    ends = list(accumulate(days))
    return [
        Load(
            load.year,
            load.mean[24 * (end - count) : 24 * end],
            load.peak[24 * (end - count) : 24 * end],
            load.days[end - count : end],
        )
        for end, count in zip(ends, days, strict=True)
    ]
