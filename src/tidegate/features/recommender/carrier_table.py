"""Instance types and what each carries, as the recommenders show them."""

from tidegate.cli.tables import key, number
from tidegate.features.recommender.estimates import Carrier

CARRIERS = (
    key("INSTANCE TYPE"),
    number("CARRIES"),
    number("$ PER 1,000"),
    number("INSTANCES"),
    number("$ A MONTH"),
    number("TARGET A MINUTE", rank=1),
)


def carrier_row(one: Carrier) -> tuple[str, ...]:
    """A table row for ``CARRIERS``."""
    return (
        one.instance_type,
        f"{one.rate:,.0f}/s",
        f"{one.per_thousand:.3g}",
        str(one.instances),
        f"{one.month:,.2f}",
        f"{one.target:,}",
    )
