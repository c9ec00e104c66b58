"""Scalable targets, scaling policies and scheduled actions, as the provider handles them."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tests.terraform.resource import Clients, Members, Resource, missing, single


class _OfScaling(Resource):
    """Known by service, resource and dimension."""

    KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension")

    @property
    def key(self) -> Members:
        return {name: self.written[name] for name in self.KEY}

    def list_tags(self, arn: str) -> dict[str, str]:
        return {}

    def untag(self, arn: str, keys: list[str]) -> None:
        raise AssertionError(f"{type(self).__name__} has no tags")

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        raise AssertionError(f"{type(self).__name__} has no tags")

    def _deleted(self, delete: Callable[..., Any], **more: Any) -> bool:
        try:
            delete(**self.key, **more)
        except ClientError as error:
            if missing(error, "ObjectNotFoundException"):
                return False
            raise
        return True


class ScalableTarget(_OfScaling):
    ARN = "ScalableTargetARN"
    READ = ("MinCapacity", "MaxCapacity", "RoleARN", *_OfScaling.KEY)
    COMPUTED = frozenset({"RoleARN"})

    @classmethod
    def imported(cls, clients: Clients, id: str) -> "Resource":
        service, *resource, dimension = id.split("/")
        key: Members = dict(zip(cls.KEY, (service, "/".join(resource), dimension), strict=True))
        return cls(clients, **key)

    def create(self) -> None:
        self.clients.scaling.register_scalable_target(**self.written, **({"Tags": self.tags} if self.tags else {}))

    def find(self) -> Members | None:
        key = self.key
        resource = key.pop("ResourceId")
        pages = self.clients.scaling.get_paginator("describe_scalable_targets")
        found = [one for page in pages.paginate(ResourceIds=[resource], **key) for one in page["ScalableTargets"]]
        target = single(found)
        assert target is None or {name: target[name] for name in self.KEY} == self.key
        return target

    def update(self, changed: frozenset[str]) -> None:
        self.clients.scaling.register_scalable_target(**self.written)

    def delete(self) -> None:
        if self._deleted(self.clients.scaling.deregister_scalable_target):
            assert self.find() is None

    def list_tags(self, arn: str) -> dict[str, str]:
        tags: dict[str, str] = self.clients.scaling.list_tags_for_resource(ResourceARN=arn)["Tags"]
        return tags

    def untag(self, arn: str, keys: list[str]) -> None:
        self.clients.scaling.untag_resource(ResourceARN=arn, TagKeys=keys)

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        self.clients.scaling.tag_resource(ResourceARN=arn, Tags=tags)


class ScalingPolicy(_OfScaling):
    ARN = "PolicyARN"
    READ = (
        "PolicyName",
        "PolicyType",
        *_OfScaling.KEY,
        "StepScalingPolicyConfiguration",
        "TargetTrackingScalingPolicyConfiguration",
        "PredictiveScalingPolicyConfiguration",
    )

    @classmethod
    def imported(cls, clients: Clients, id: str) -> "Resource":
        service, *resource, dimension, name = id.split("/")
        key: Members = dict(zip(cls.KEY, (service, "/".join(resource), dimension), strict=True))
        return cls(clients, **key, PolicyName=name)

    def create(self) -> None:
        self.clients.scaling.put_scaling_policy(**self.written)

    def find(self) -> Members | None:
        name = self.written["PolicyName"]
        pages = self.clients.scaling.get_paginator("describe_scaling_policies")
        found = [one for page in pages.paginate(PolicyNames=[name], **self.key) for one in page["ScalingPolicies"]]
        return single([one for one in found if one["PolicyName"] == name])

    def update(self, changed: frozenset[str]) -> None:
        self.create()

    def delete(self) -> None:
        self._deleted(self.clients.scaling.delete_scaling_policy, PolicyName=self.written["PolicyName"])


class ScheduledAction(_OfScaling):
    ARN = "ScheduledActionARN"
    READ = ("Schedule", "ScalableTargetAction", "Timezone", "StartTime", "EndTime")

    @classmethod
    def imported(cls, clients: Clients, id: str) -> "Resource":
        raise AssertionError("the provider imports no scheduled actions")

    def create(self) -> None:
        self.clients.scaling.put_scheduled_action(**self.written)

    def find(self) -> Members | None:
        names = [self.written["ScheduledActionName"]]
        pages = self.clients.scaling.get_paginator("describe_scheduled_actions")
        answers = pages.paginate(ScheduledActionNames=names, **self.key)
        return single([one for page in answers for one in page["ScheduledActions"]])

    def update(self, changed: frozenset[str]) -> None:
        """What did not change is not sent."""
        given = {name: self.written[name] for name in changed if name in self.written}
        if given:
            name = self.written["ScheduledActionName"]
            self.clients.scaling.put_scheduled_action(**self.key, ScheduledActionName=name, **given)

    def delete(self) -> None:
        name = self.written["ScheduledActionName"]
        self._deleted(self.clients.scaling.delete_scheduled_action, ScheduledActionName=name)
