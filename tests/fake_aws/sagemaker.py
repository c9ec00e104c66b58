"""SageMaker hosting: models, configs and endpoints, with the checks and the silences of the real one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.fake_aws.autoscaling import FakeAutoscaling
from tests.fake_aws.clock import FakeClock
from tests.fake_aws.cloudwatch import FakeCloudWatch
from tests.fake_aws.deployments import (
    PROVISION,
    RESIZE,
    ROLLBACK,
    SHIFT,
    FakeDeployment,
    FakeEndpoint,
    FakeVariant,
)
from tests.fake_aws.faults import AwsRefusal, invalid
from tests.fake_aws.update_plan import new_fleet, plan_update, variants_of

Params = dict[str, Any]


@dataclass
class FakeSageMaker:
    clock: FakeClock
    prefix: str
    """Of ARNs: ``arn:aws:sagemaker:REGION:ACCOUNT``."""
    cloudwatch: FakeCloudWatch
    autoscaling: FakeAutoscaling
    visibility: float = 0.0
    """Seconds until what was created is seen by other calls."""
    role_ready_at: datetime | None = None
    """A fresh role cannot be assumed before."""
    quotas: dict[str, int] = field(default_factory=dict)
    """Instance type -> instances over all endpoints."""
    without_capacity: set[str] = field(default_factory=set)
    """Instance types that provisioning fails for, late."""
    broken_models: set[str] = field(default_factory=set)
    """Their containers never answer a ping."""
    stuck: set[str] = field(default_factory=set)
    """Endpoints whose creation does not end."""
    tells_reason: bool = False
    """Whether a rollback leaves a FailureReason; often it does not."""
    models: dict[str, Params] = field(default_factory=dict)
    configs: dict[str, Params] = field(default_factory=dict)
    endpoints: dict[str, FakeEndpoint] = field(default_factory=dict)
    jobs: dict[str, Params] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    """Models and configs that were deleted although something served with them."""

    def create_model(self, params: Params) -> Params:
        if self.role_ready_at is not None and self.clock.now() < self.role_ready_at:
            raise invalid(
                f"Could not assume role {params['ExecutionRoleArn']}. Please ensure that the role exists and allows"
                " principal 'sagemaker.amazonaws.com' to assume the role."
            )
        return {"ModelArn": self._create(self.models, "model", "ModelName", params)}

    def create_endpoint_config(self, params: Params) -> Params:
        for variant in variants_of(params):
            self._seen(self.models, "model", variant["ModelName"])
        return {"EndpointConfigArn": self._create(self.configs, "endpoint-config", "EndpointConfigName", params)}

    def describe_model(self, params: Params) -> Params:
        return self._shown(self._seen(self.models, "model", params["ModelName"]), "ModelArn")

    def describe_endpoint_config(self, params: Params) -> Params:
        found = self._seen(self.configs, "endpoint-config", params["EndpointConfigName"])
        return self._shown(found, "EndpointConfigArn")

    def delete_model(self, params: Params) -> Params:
        name = params["ModelName"]
        used = {
            v["ModelName"] for config in self._serving_configs() for v in variants_of(self.configs.get(config, {}))
        }
        if name in used:
            self.damage.append(name)
        self._seen(self.models, "model", name)
        del self.models[name]
        return {}

    def delete_endpoint_config(self, params: Params) -> Params:
        name = params["EndpointConfigName"]
        if name in self._serving_configs():
            self.damage.append(name)
        self._seen(self.configs, "endpoint-config", name)
        del self.configs[name]
        return {}

    def list_models(self, params: Params) -> Params:
        listed = self._listed(self.models, params)
        return {
            "Models": [{"ModelName": n, "ModelArn": m["arn"], "CreationTime": m["created"]} for n, m in listed]
        }

    def list_endpoint_configs(self, params: Params) -> Params:
        return {
            "EndpointConfigs": [
                {"EndpointConfigName": n, "EndpointConfigArn": c["arn"], "CreationTime": c["created"]}
                for n, c in self._listed(self.configs, params)
            ]
        }

    def list_tags(self, params: Params) -> Params:
        tags = self._tags(params["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def add_tags(self, params: Params) -> Params:
        self._tags(params["ResourceArn"]).update({one["Key"]: one["Value"] for one in params["Tags"]})
        return {"Tags": params["Tags"]}

    def create_endpoint(self, params: Params) -> Params:
        name, now = params["EndpointName"], self.clock.now()
        if name in self.endpoints:
            raise invalid(f'Cannot create already existing endpoint "{self.endpoints[name].arn}".')
        config = self._config(params["EndpointConfigName"])
        variants = new_fleet(config["params"], {})
        self._check_quota(variants, None)
        arn = f"{self.prefix}:endpoint/{name.lower()}"
        tags = {one["Key"]: one["Value"] for one in params.get("Tags", [])}
        until = now + timedelta(seconds=PROVISION)
        made = FakeEndpoint(name, arn, params["EndpointConfigName"], "Creating", now, now, variants, until, tags)
        self.endpoints[name] = made
        return {"EndpointArn": arn}

    def describe_endpoint(self, params: Params) -> Params:
        found = self._endpoint(params["EndpointName"])
        if found.status == "Creating" and self.clock.now() < found.created + timedelta(seconds=self.visibility):
            raise invalid(f'Could not find endpoint "{found.arn}".')
        shown, pending = found.describe(), found.pending
        unseen = pending is not None and pending.phase == "Creating"
        if (
            pending is not None
            and unseen
            and self.clock.now() < pending.since + timedelta(seconds=self.visibility)
        ):
            del shown["PendingDeploymentSummary"]
            shown["EndpointStatus"] = "InService"
        return shown

    def list_endpoints(self, params: Params) -> Params:
        return {
            "Endpoints": [
                {
                    "EndpointName": one.name,
                    "EndpointArn": one.arn,
                    "CreationTime": one.created,
                    "LastModifiedTime": one.modified,
                    "EndpointStatus": one.status,
                }
                for one in self.endpoints.values()
                if params.get("NameContains", "") in one.name
            ]
        }

    def update_endpoint(self, params: Params) -> Params:
        found = self._in_service(params["EndpointName"])
        wanted = params["EndpointConfigName"]
        config = self._config(wanted)
        if found.config not in self.configs:
            raise invalid(f'Could not find endpoint configuration "{self.prefix}:endpoint-config/{found.config}".')
        if wanted == found.config:
            raise invalid(f"Endpoint {found.name} already uses endpoint configuration {wanted}; give a new one.")
        kept = found.variants if params.get("RetainAllVariantProperties") else {}
        fleet = new_fleet(config["params"], kept)
        self._check_scaling(found, fleet)
        self._check_quota(fleet, found)
        deployment = params.get("DeploymentConfig")
        shares, bakes, guards, timeout = plan_update(found, fleet, deployment, self.cloudwatch.alarms)
        now = self.clock.now()
        found.pending = FakeDeployment(
            wanted,
            fleet,
            shares,
            bakes,
            guards,
            now,
            now + timedelta(seconds=PROVISION),
            now + timedelta(seconds=timeout),
        )
        found.status, found.modified, found.reason, found.deployment = "Updating", now, None, deployment
        return {"EndpointArn": found.arn}

    def update_endpoint_weights_and_capacities(self, params: Params) -> Params:
        found = self._in_service(params["EndpointName"])
        now, resized = self.clock.now(), False
        for change in params["DesiredWeightsAndCapacities"]:
            variant = found.variants.get(change["VariantName"])
            if variant is None:
                raise invalid(f"Variant {change['VariantName']} does not exist.")
            variant.desired_weight = change.get("DesiredWeight", variant.desired_weight)
            resized = resized or change.get("DesiredInstanceCount", variant.count) != variant.count
            variant.desired_count = change.get("DesiredInstanceCount", variant.desired_count)
        found.status, found.modified = "Updating", now
        found.until = now + timedelta(seconds=RESIZE if resized else SHIFT)
        return {"EndpointArn": found.arn}

    def delete_endpoint(self, params: Params) -> Params:
        found = self._endpoint(params["EndpointName"])
        if found.status in ("Creating", "Updating", "RollingBack", "Deleting"):
            raise invalid(f'Cannot update in-progress endpoint "{found.arn}".')
        if self.autoscaling.of_endpoint(found.name):
            raise invalid(f"Endpoint {found.name} has scalable targets; deregister them before you delete it.")
        found.status, found.until = "Deleting", self.clock.now() + timedelta(seconds=ROLLBACK)
        return {}

    def create_transform_job(self, params: Params) -> Params:
        name = params["TransformJobName"]
        if name in self.jobs:
            raise AwsRefusal("ResourceInUse", "Job name must be unique within an AWS account and region")
        self._seen(self.models, "model", params["ModelName"])
        arn = f"{self.prefix}:transform-job/{name}"
        kept = {key: value for key, value in params.items() if key != "Tags"}
        shown = {"TransformJobArn": arn, "TransformJobStatus": "InProgress", "CreationTime": self.clock.now()}
        self.jobs[name] = {**kept, **shown}
        return {"TransformJobArn": arn}

    def describe_transform_job(self, params: Params) -> Params:
        return self._job(params["TransformJobName"])

    def stop_transform_job(self, params: Params) -> Params:
        self._job(params["TransformJobName"])["TransformJobStatus"] = "Stopped"
        return {}

    def _job(self, name: str) -> Params:
        if name not in self.jobs:
            raise AwsRefusal("ResourceNotFound", f"Could not find requested job with name: {name}")
        return self.jobs[name]

    def tick(self, now: datetime) -> None:
        for found in list(self.endpoints.values()):
            if found.pending is not None:
                self._proceed(found, found.pending, now)
            elif now >= found.until:
                self._settle(found, now)

    # What follows is how an endpoint goes on.

    def _settle(self, found: FakeEndpoint, now: datetime) -> None:
        if found.status == "Creating":
            if found.name in self.stuck:
                return
            trouble = self._trouble(found.variants)
            found.status, found.reason = ("Failed", trouble) if trouble else ("InService", None)
            found.modified = now
        elif found.status in ("Updating", "RollingBack"):
            for variant in found.variants.values():
                variant.weight, variant.count = variant.desired_weight, variant.desired_count
            found.status, found.modified = "InService", now
        elif found.status == "Deleting":
            del self.endpoints[found.name]

    def _proceed(self, found: FakeEndpoint, pending: FakeDeployment, now: datetime) -> None:
        alarmed = [name for name in pending.guards if self.cloudwatch.state(name) == "ALARM"]
        if pending.stage >= 0 and alarmed:
            self._roll_back(found, now, f"alarm(s) {alarmed} in ALARM state")
        elif now >= pending.expires:
            self._roll_back(found, now, "the update took too long")
        elif now >= pending.until:
            trouble = self._trouble(pending.variants) if pending.phase == "Creating" else None
            if trouble:
                self._roll_back(found, now, trouble)
            elif pending.phase == "ActivatingTraffic":
                pending.enter("Baking", now, pending.bakes[pending.stage])
            elif pending.stage + 1 < len(pending.shares):
                pending.stage += 1
                found.history.append((pending.config, pending.share))
                pending.enter("ActivatingTraffic", now, SHIFT)
            else:
                found.config, found.variants, found.pending = pending.config, pending.variants, None
                found.status, found.modified = "InService", now

    def _roll_back(self, found: FakeEndpoint, now: datetime, why: str) -> None:
        assert found.pending is not None
        if found.pending.stage >= 0:
            found.history.append((found.pending.config, 0.0))
        found.pending, found.status, found.until = None, "RollingBack", now + timedelta(seconds=ROLLBACK)
        found.reason = f"Deployment rolled back: {why}." if self.tells_reason else None

    def _trouble(self, fleet: dict[str, FakeVariant]) -> str | None:
        for variant in fleet.values():
            if variant.type in self.without_capacity:
                return f"CapacityError: Unable to provision requested ML compute capacity for {variant.type}."
            if variant.model in self.broken_models:
                return f"The primary container for production variant {variant.name} did not pass its ping."
        return None

    # What follows finds and checks.

    def _create(self, kept: dict[str, Params], kind: str, member: str, params: Params) -> str:
        name = params[member]
        if name.lower() in {each.lower() for each in kept}:
            raise invalid(f'Cannot create already existing {kind} "{self.prefix}:{kind}/{name}".')
        arn = f"{self.prefix}:{kind}/{name}"
        body = {key: value for key, value in params.items() if key != "Tags"}
        tags = {one["Key"]: one["Value"] for one in params.get("Tags", [])}
        kept[name] = {"params": body, "arn": arn, "created": self.clock.now(), "tags": tags}
        return arn

    def _seen(self, kept: dict[str, Params], kind: str, name: str) -> Params:
        found = kept.get(name)
        if found is None or self.clock.now() < found["created"] + timedelta(seconds=self.visibility):
            words = "endpoint configuration" if kind == "endpoint-config" else kind
            raise invalid(f'Could not find {words} "{self.prefix}:{kind}/{name}".')
        return found

    def _shown(self, found: Params, arn: str) -> Params:
        return {**found["params"], arn: found["arn"], "CreationTime": found["created"]}

    def _listed(self, kept: dict[str, Params], params: Params) -> Iterator[tuple[str, Params]]:
        for name, found in sorted(kept.items(), key=lambda one: one[1]["created"]):
            if params.get("NameContains", "") in name:
                yield name, found

    def _config(self, name: str) -> Params:
        found = self._seen(self.configs, "endpoint-config", name)
        for variant in variants_of(found):
            self._seen(self.models, "model", variant["ModelName"])
        return found

    def _endpoint(self, name: str) -> FakeEndpoint:
        if name not in self.endpoints:
            raise invalid(f'Could not find endpoint "{self.prefix}:endpoint/{name}".')
        return self.endpoints[name]

    def _in_service(self, name: str) -> FakeEndpoint:
        found = self._endpoint(name)
        if found.status != "InService":
            raise invalid(f'Cannot update in-progress endpoint "{found.arn}".')
        return found

    def _tags(self, arn: str) -> dict[str, str]:
        for kept in (self.models, self.configs):
            for found in kept.values():
                if found["arn"] == arn:
                    tags: dict[str, str] = found["tags"]
                    return tags
        for endpoint in self.endpoints.values():
            if endpoint.arn == arn:
                return endpoint.tags
        raise invalid(f"Could not find {arn}.")

    def _serving_configs(self) -> set[str]:
        pending = {one.pending.config for one in self.endpoints.values() if one.pending is not None}
        return pending | {one.config for one in self.endpoints.values()}

    def _check_scaling(self, found: FakeEndpoint, fleet: dict[str, FakeVariant]) -> None:
        for target in self.autoscaling.of_endpoint(found.name):
            variant = target["ResourceId"].rsplit("/", 1)[1]
            if variant not in fleet or fleet[variant].type != found.variants[variant].type:
                raise invalid(
                    f"Variant {variant} of {found.name} is a scalable target; deregister it before its instance type"
                    " changes or it is removed."
                )

    def _check_quota(self, fleet: dict[str, FakeVariant], present: FakeEndpoint | None) -> None:
        """The new fleet runs beside the old one, so both count."""
        for type, quota in self.quotas.items():
            used = sum(v.count for one in self.endpoints.values() for v in one.variants.values() if v.type == type)
            more = sum(v.count for v in fleet.values() if v.type == type)
            if more and used + more > quota:
                raise AwsRefusal(
                    "ResourceLimitExceeded",
                    f"The account-level service limit '{type} for endpoint usage' is {quota} Instances, with current"
                    f" utilization of {used} Instances and a request delta of {more} Instances.",
                )
