"""A simulator of what the target asks of ECS and of a load balancer. It is not AWS: no tasks run, and permissions and
quotas are not tested by it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from tidegate.targets.aws.errors import ErrorAnswer, translate

ACCOUNT = "arn:aws:ecs:eu-central-1:123456789012"
BALANCER = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
STARTUP = 3
"""Looks at a service's targets until one more is healthy."""
DRAIN = 4
"""Looks at a deleted service until its last task has stopped."""


def refused(operation: str, code: str, message: str, status: int = 400) -> Exception:
    return translate(ErrorAnswer("ecs", operation, "", code, message, status))


@dataclass
class EcsSimulator:
    """A ``targets.aws.calls.Calls``."""

    now: Callable[[], float] = lambda: 0.0
    chance: Random = field(default_factory=lambda: Random(1))
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    healthy: Counter[str] = field(default_factory=Counter)
    looks: Counter[str] = field(default_factory=Counter)
    broken: set[str] = field(default_factory=set)
    """Configs whose tasks never start."""
    stopped: str = "Task failed ELB health checks"
    """Why tasks of broken configs stopped."""
    cut_off: list[str] = field(default_factory=list)
    """Target groups that were taken from the load balancer while tasks drained behind them."""
    away: bool = False
    cut: str = ""
    """Operation whose next answer is lost, though it was done."""
    counts: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)
    lags: dict[str, int] = field(default_factory=dict)
    """Metric -> seconds after the end of a minute until its datapoint is whole. Until then it has half of it, and no
    datapoint for the first half of that time."""
    unreached: set[str] = field(default_factory=set)
    """Configs whose tasks take no connections, though their pings are answered."""
    lost: set[str] = field(default_factory=set)
    """Metrics that have no datapoints."""
    unread: set[str] = field(default_factory=set)
    """Metrics that CloudWatch fails to read, though the call succeeds."""
    numbers: int = 0

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        if self.away:
            raise translate(ErrorAnswer(service, operation, "", "ServiceUnavailable", "away", 503))
        answer: dict[str, Any] = getattr(self, f"_{operation}")(dict(members))
        if self.cut == operation:
            self.cut = ""
            raise translate(ErrorAnswer(service, operation, "", "InternalFailure", "the answer was lost", 500))
        return answer

    def request(self, path: str, failing: Callable[[str], bool] = lambda group: False) -> str:
        """Route one request. Returns the target group, or nothing."""
        for rule in self.rules.values():
            if rule["Conditions"][0]["PathPatternConfig"]["Values"] == [path]:
                groups = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
                weights = [group["Weight"] for group in groups]
                if not any(weights):
                    return ""
                arn = str(self.chance.choices(groups, weights)[0]["TargetGroupArn"])
                count = self.counts.setdefault((arn, int(self.now()) // 60 * 60), Counter())
                count["RequestCount"] += 1
                count["HTTPCode_Target_5XX_Count"] += failing(arn)
                count["TargetConnectionErrorCount"] += self.config_of(arn) in self.unreached
                return arn
        return ""

    def config_of(self, group: str) -> str:
        """The config of the service behind a target group."""
        for one in self.services.values():
            if one["loadBalancers"][0]["targetGroupArn"] == group:
                return next(str(tag["value"]) for tag in one["tags"] if tag["key"] == "tidegate:config")
        return ""

    # --- ECS ---

    def _RegisterTaskDefinition(self, given: dict[str, Any]) -> dict[str, Any]:
        self.numbers += 1
        arn = f"{ACCOUNT}:task-definition/{given['family']}:{self.numbers}"
        self.tasks[arn] = given
        return {"taskDefinition": {"taskDefinitionArn": arn, "family": given["family"]}}

    def _CreateService(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["serviceName"]
        if name in self.services:
            draining = self.services[name]["status"] == "DRAINING"
            told = (
                "Unable to Start a service that is still Draining." if draining else "Creation was not idempotent."
            )
            raise refused("CreateService", "InvalidParameterException", told)
        group = given["loadBalancers"][0]["targetGroupArn"]
        if not any(group in self._forwarded(rule) for rule in self.rules.values()):
            message = "The target group does not have an associated load balancer."
            raise refused("CreateService", "InvalidParameterException", message)
        if given["taskDefinition"] not in self.tasks:
            raise refused("CreateService", "ClientException", "TaskDefinition not found.")
        self.services[name] = {
            "serviceArn": f"{ACCOUNT}:service/models/{name}",
            "serviceName": name,
            "status": "ACTIVE",
            "desiredCount": given["desiredCount"],
            "runningCount": 0,
            "tags": given["tags"],
            "loadBalancers": given["loadBalancers"],
            "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY", "rolloutState": "IN_PROGRESS"}],
        }
        return {"service": self.services[name]}

    @staticmethod
    def _forwarded(rule: Mapping[str, Any]) -> set[str]:
        action = rule["Actions"][0]
        return {group["TargetGroupArn"] for group in action.get("ForwardConfig", {}).get("TargetGroups", ())}

    def _ListServices(self, given: dict[str, Any]) -> dict[str, Any]:
        """ECS lists no service that drains."""
        return {"serviceArns": [one["serviceArn"] for one in self.services.values() if one["status"] == "ACTIVE"]}

    def _DescribeServices(self, given: dict[str, Any]) -> dict[str, Any]:
        names = {name.rpartition("/")[2] for name in given["services"]}
        found = [dict(one) for name, one in self.services.items() if name in names]
        for one in [one for one in found if one["status"] == "DRAINING"]:
            name = one["serviceName"]
            self.looks[name] += 1
            if self.looks[name] >= DRAIN:
                del self.services[name]
        return {"services": found}

    def _used(self, group: str) -> bool:
        """Whether tasks drain behind it."""
        return any(
            one["status"] == "DRAINING" and one["loadBalancers"][0]["targetGroupArn"] == group
            for one in self.services.values()
        )

    def _ListTasks(self, given: dict[str, Any]) -> dict[str, Any]:
        assert given["desiredStatus"] == "STOPPED"
        return {"taskArns": [f"{ACCOUNT}:task/models/{given['serviceName']}"]}

    def _DescribeTasks(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"tasks": [{"taskArn": arn, "stoppedReason": self.stopped} for arn in given["tasks"]]}

    def _UpdateService(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.services[given["service"]]
        found["desiredCount"] = given["desiredCount"]
        return {"service": found}

    def _DeleteService(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.services[given["service"]]
        found |= {"status": "DRAINING", "runningCount": found["desiredCount"], "desiredCount": 0}
        return {"service": found}

    def _TagResource(self, given: dict[str, Any]) -> dict[str, Any]:
        found = next(one for one in self.services.values() if one["serviceArn"] == given["resourceArn"])
        merged = {tag["key"]: tag["value"] for tag in (*found["tags"], *given["tags"])}
        found["tags"] = [{"key": key, "value": value} for key, value in merged.items()]
        return {}

    # --- the load balancer ---

    def _CreateTargetGroup(self, given: dict[str, Any]) -> dict[str, Any]:
        arn = f"{BALANCER}:targetgroup/{given['Name']}/6d0ecf831eec9f09"
        self.groups[arn] = {"TargetGroupArn": arn, "TargetGroupName": given["Name"]}
        self.tags[arn] = {tag["Key"]: tag["Value"] for tag in given["Tags"]}
        return {"TargetGroups": [self.groups[arn]]}

    def _DescribeTargetGroups(self, given: dict[str, Any]) -> dict[str, Any]:
        names = given.get("Names")
        found = [one for one in self.groups.values() if names is None or one["TargetGroupName"] in names]
        if not found and names is not None:
            raise refused("DescribeTargetGroups", "TargetGroupNotFound", "One or more target groups not found")
        return {"TargetGroups": found}

    def _DeleteTargetGroup(self, given: dict[str, Any]) -> dict[str, Any]:
        arn = given["TargetGroupArn"]
        if any(arn in self._forwarded(rule) for rule in self.rules.values()):
            raise refused("DeleteTargetGroup", "ResourceInUse", "Target group is currently in use by a rule")
        self.cut_off += [arn] if self._used(arn) else []
        self.groups.pop(arn, None)
        return {}

    def _DescribeTargetHealth(self, given: dict[str, Any]) -> dict[str, Any]:
        arn = given["TargetGroupArn"]
        service = next(
            (one for one in self.services.values() if arn == one["loadBalancers"][0]["targetGroupArn"]), None
        )
        if service is None:
            return {"TargetHealthDescriptions": []}
        tags = {tag["key"]: tag["value"] for tag in service["tags"]}
        if tags["tidegate:config"] in self.broken:
            reason = "ECS deployment circuit breaker: tasks failed to start."
            service["deployments"][0] |= {"rolloutState": "FAILED", "rolloutStateReason": reason}
            return {"TargetHealthDescriptions": []}
        self.looks[arn] += 1
        count = min(service["desiredCount"], self.looks[arn] // STARTUP)
        one = {"Target": {"Id": "10.0.0.1", "Port": 8080}, "TargetHealth": {"State": "healthy"}}
        return {"TargetHealthDescriptions": [one] * count}

    def _DescribeRules(self, given: dict[str, Any]) -> dict[str, Any]:
        default = {"RuleArn": f"{BALANCER}:listener-rule/default", "Priority": "default", "Conditions": []}
        return {"Rules": [*self.rules.values(), default]}

    def _CreateRule(self, given: dict[str, Any]) -> dict[str, Any]:
        self.numbers += 1
        arn = f"{BALANCER}:listener-rule/app/models/50dc6c495c0c9188/f2f7dc8efc522ab2/{self.numbers}"
        self.tags[arn] = {tag["Key"]: tag["Value"] for tag in given["Tags"]}
        members = {"Conditions": given["Conditions"], "Actions": given["Actions"]}
        self.rules[arn] = {"RuleArn": arn, "Priority": str(given["Priority"]), **members, "IsDefault": False}
        return {"Rules": [self.rules[arn]]}

    def _ModifyRule(self, given: dict[str, Any]) -> dict[str, Any]:
        before = self._forwarded(self.rules[given["RuleArn"]])
        self.rules[given["RuleArn"]]["Actions"] = given["Actions"]
        self._note_cut_off(before - self._forwarded(self.rules[given["RuleArn"]]))
        return {"Rules": [self.rules[given["RuleArn"]]]}

    def _DeleteRule(self, given: dict[str, Any]) -> dict[str, Any]:
        self._note_cut_off(self._forwarded(self.rules.pop(given["RuleArn"])))
        return {}

    def _note_cut_off(self, groups: set[str]) -> None:
        self.cut_off += [group for group in groups if self._used(group)]

    def _AddTags(self, given: dict[str, Any]) -> dict[str, Any]:
        for arn in given["ResourceArns"]:
            self.tags[arn] = {**self.tags[arn], **{tag["Key"]: tag["Value"] for tag in given["Tags"]}}
        return {}

    def _DescribeTags(self, given: dict[str, Any]) -> dict[str, Any]:
        return {
            "TagDescriptions": [
                {"ResourceArn": arn, "Tags": [{"Key": k, "Value": v} for k, v in self.tags.get(arn, {}).items()]}
                for arn in given["ResourceArns"]
            ]
        }

    # --- metrics ---

    def _GetMetricData(self, given: dict[str, Any]) -> dict[str, Any]:
        since, until = given["StartTime"].timestamp(), given["EndTime"].timestamp()
        lines = []
        for query in given["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            group = {one["Name"]: one["Value"] for one in metric["Dimensions"]}["TargetGroup"]
            name = metric["MetricName"]
            found = {
                minute: 0.02 if name == "TargetResponseTime" else value
                for (arn, minute), counts in self.counts.items()
                if arn.endswith(group) and since <= minute < until
                if (value := self._visible(name, minute, counts)) is not None
            }
            times = [datetime.fromtimestamp(minute, UTC) for minute in sorted(found)]
            values = [found[minute] for minute in sorted(found)]
            state = "InternalError" if name in self.unread else "Complete"
            lines.append({"Id": query["Id"], "Timestamps": times, "Values": values, "StatusCode": state})
        return {"MetricDataResults": lines}

    def _visible(self, name: str, minute: int, counts: Counter[str]) -> float | None:
        """What CloudWatch shows of a minute now."""
        lag, age = self.lags.get(name, 0), self.now() - minute - 60
        if name in self.lost or name in self.unread or (lag and age < lag / 2):
            return None
        return float(counts[name] // 2 if age < lag else counts[name])
