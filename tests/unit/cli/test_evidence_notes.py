"""What validate says of evidence beforehand."""

from tests.spec_changes import PLAIN
from tidegate import spec
from tidegate.cli.evidence_notes import evidence_notes
from tidegate.simulation.world import START


def test_a_spec_whose_clients_stay_hears_that_clients_are_counted() -> None:
    rollout = {**PLAIN["rollout"], "stick": {"header": "X-Client"}}
    wish = spec.parse({**PLAIN, "rollout": rollout, "evidence": {"minimum": 70}}, START)
    assert list(evidence_notes(wish)) == [
        "rollout.stick: evidence counts clients, each with its first request in a stage: 70 clients (minimum) must"
        " come to each version, and requests without X-Client count one by one"
    ]
