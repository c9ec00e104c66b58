"""What a worker's start file says of all its containers together."""

import pytest

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, most_threads


@pytest.mark.parametrize(
    ("given", "most"),
    [([None], 1), (["4"], 4), ([None, "3", "2"], 3), (["many", "2"], 2), (["many"], 1), (["0"], 1), (["9999"], 1)],
)
def test_the_libraries_may_have_what_the_container_with_the_most_asks_for(
    given: list[str | None], most: int
) -> None:
    containers = tuple(
        ContainerSpec(
            runtime=RuntimeChoice(RuntimeKind.ONNX),
            model_dir="/m",
            environment={} if number is None else {"OMP_NUM_THREADS": number},
        )
        for number in given
    )
    fleet = FleetId("fraud", 1, "main")
    spec = ReplicaSpec(replica="r", fleet=fleet, config_name="c", containers=containers, socket="/s")
    assert most_threads(spec) == most
