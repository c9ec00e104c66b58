"""What a cluster can do."""

import pytest

from tidegate.domain.evidence import OF_TRAFFIC
from tidegate.settings import Settings
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.provider import capabilities


@pytest.mark.parametrize(("fidelity", "compares"), [("aws", set()), ("", set(OF_TRAFFIC))])
def test_no_pairs_are_compared_and_nothing_where_the_platform_does_no_more_than_aws(
    fidelity: str, compares: set[str]
) -> None:
    settings = Settings.from_environment({"TIDEGATE_FIDELITY": fidelity} if fidelity else {})
    assert capabilities(settings, KubernetesOptions("i")).compares == compares
