"""Scalable targets, policies and scheduled actions, kept and shown; nothing is scaled."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.fake_aws.clock import FakeClock
from tests.fake_aws.faults import AwsRefusal

Params = dict[str, Any]
Key = tuple[str, str]


@dataclass
class FakeAutoscaling:
    clock: FakeClock
    prefix: str
    targets: dict[Key, Params] = field(default_factory=dict)
    policies: dict[tuple[str, str, str], Params] = field(default_factory=dict)
    actions: dict[tuple[str, str, str], Params] = field(default_factory=dict)

    def of_endpoint(self, name: str) -> list[Params]:
        return [one for (id, _), one in self.targets.items() if id.split("/")[1] == name]

    def register_scalable_target(self, params: Params) -> Params:
        before = self.targets.get(_key(params), {"CreationTime": self._now()})
        self.targets[_key(params)] = {**before, **params, "RoleARN": f"{self.prefix}:role/scaling"}
        return {"ScalableTargetARN": f"{self.prefix}:scalable-target/{len(self.targets)}"}

    def deregister_scalable_target(self, params: Params) -> Params:
        if _key(params) not in self.targets:
            raise AwsRefusal("ObjectNotFoundException", f"No scalable target found for {params['ResourceId']}")
        del self.targets[_key(params)]
        for kept in (self.policies, self.actions):
            for key in [key for key in kept if key[:2] == _key(params)]:
                del kept[key]
        return {}

    def describe_scalable_targets(self, params: Params) -> Params:
        wanted = params.get("ResourceIds")
        return {
            "ScalableTargets": [one for (id, _), one in self.targets.items() if wanted is None or id in wanted]
        }

    def put_scaling_policy(self, params: Params) -> Params:
        self._registered(params)
        key = (*_key(params), params["PolicyName"])
        arn = f"{self.prefix}:scalingPolicy/{params['PolicyName']}"
        self.policies[key] = {**params, "PolicyARN": arn, "CreationTime": self._now()}
        return {"PolicyARN": arn, "Alarms": []}

    def delete_scaling_policy(self, params: Params) -> Params:
        self.policies.pop((*_key(params), params["PolicyName"]), None)
        return {}

    def describe_scaling_policies(self, params: Params) -> Params:
        return {"ScalingPolicies": [one for one in self.policies.values() if _matches(one, params)]}

    def put_scheduled_action(self, params: Params) -> Params:
        self._registered(params)
        arn = f"{self.prefix}:scheduledAction/{params['ScheduledActionName']}"
        made = {**params, "ScheduledActionARN": arn, "CreationTime": self._now()}
        self.actions[(*_key(params), params["ScheduledActionName"])] = made
        return {}

    def delete_scheduled_action(self, params: Params) -> Params:
        self.actions.pop((*_key(params), params["ScheduledActionName"]), None)
        return {}

    def describe_scheduled_actions(self, params: Params) -> Params:
        return {"ScheduledActions": [one for one in self.actions.values() if _matches(one, params)]}

    def _registered(self, params: Params) -> None:
        if _key(params) not in self.targets:
            raise AwsRefusal(
                "ObjectNotFoundException", f"No scalable target registered for {params['ResourceId']}"
            )

    def _now(self) -> datetime:
        return self.clock.now()


def _key(params: Params) -> Key:
    return params["ResourceId"], params["ScalableDimension"]


def _matches(one: Params, params: Params) -> bool:
    return all(params.get(member, one[member]) == one[member] for member in ("ResourceId", "ScalableDimension"))
