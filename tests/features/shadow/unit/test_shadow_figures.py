"""The figures of a comparison with a shadow are of one set of pairs, whatever arrives while they are read."""

from datetime import UTC, datetime

from tests.memory_metrics import BusyMetrics
from tests.samples import version
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.features.shadow.native import compare_shadows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PAIRS = ("MirrorCopies", "MirrorAgreement", "MirrorDifference", "MirrorLargestDifference")
ENDPOINT = Endpoint("fraud", NOW, NOW, serving=version("c", 1, shadow=1))


def sample(name: str, variant: str, count: float, total: float) -> Sample:
    named = {"EndpointName": "fraud", "VariantName": variant, "EndpointConfigName": "c"}
    return Sample(MetricId.of(SAGEMAKER, name, named), int(NOW.timestamp()) - 5, count, total, 0, 1, {})


async def test_all_figures_of_a_comparison_are_of_one_moment() -> None:
    each = [sample(name, "AllTraffic", 10, 10) for name in PAIRS]
    for variant in ("AllTraffic", "Shadow"):
        each += [sample(name, variant, 10, 10) for name in ("Invocations", "InvocationModelErrors")]
    (found,) = await compare_shadows(BusyMetrics(list(each), arriving=each), ENDPOINT, 60, NOW)
    assert (found.copies, found.failed, found.compared, found.with_numbers) == (10, 0, 10, 10)
    for side in (found.original, found.copied):
        assert (side.requests, side.errors) == (10, 1.0)


async def test_differences_say_of_how_many_pairs_they_are() -> None:
    """Two texts differ without a number between them."""
    metrics = BusyMetrics(
        [sample("MirrorCopies", "AllTraffic", 3, 3), sample("MirrorAgreement", "AllTraffic", 3, 0)]
    )
    (found,) = await compare_shadows(metrics, ENDPOINT, 60, NOW)
    assert (found.compared, found.agreement, found.with_numbers, found.mean_difference) == (3, 0.0, 0, None)
