"""Which alarms are shown as an endpoint's."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.metric_alarm import metric_alarm
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.service.views import of_present_versions
from tidegate.testing.samples import canary, percent, version

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_alarms_of_a_version_that_is_gone_are_not_the_endpoints() -> None:
    world = make_updating_world(version("v1", 2), version("v2", 2), canary(percent(10), 60, 60))
    world.run(1000, lambda w: w.record is not None and w.record.rollout is not None)
    updating = world.record
    assert updating is not None and updating.rollout is not None
    old, new = updating.rollout.old, updating.rollout.new
    assert old is not None
    alarms = [
        metric_alarm(NOON, name="whole"),
        metric_alarm(NOON, name="old", dimensions={"EndpointConfigName": old.config_name}),
        metric_alarm(NOON, name="new", dimensions={"EndpointConfigName": new.config_name}),
    ]
    assert [one.name for one in of_present_versions(updating, alarms)] == ["whole", "old", "new"]
    rolled_back = replace(updating, rollout=None, serving=old)
    assert [one.name for one in of_present_versions(rolled_back, alarms)] == ["whole", "old"]
