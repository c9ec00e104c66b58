"""Metric alarms, as the provider handles them."""

from botocore.exceptions import ClientError

from tests.terraform.resource import Clients, Members, Resource, missing, pairs, single


class MetricAlarm(Resource):
    ARN = "AlarmArn"
    READ = (
        "ActionsEnabled",
        "AlarmActions",
        "AlarmDescription",
        "AlarmName",
        "ComparisonOperator",
        "DatapointsToAlarm",
        "Dimensions",
        "EvaluateLowSampleCountPercentile",
        "EvaluationPeriods",
        "ExtendedStatistic",
        "InsufficientDataActions",
        "MetricName",
        "Metrics",
        "Namespace",
        "OKActions",
        "Period",
        "Statistic",
        "Threshold",
        "ThresholdMetricId",
        "TreatMissingData",
        "Unit",
    )
    COMPUTED = frozenset({"EvaluateLowSampleCountPercentile"})

    @classmethod
    def imported(cls, clients: Clients, id: str) -> "Resource":
        return cls(clients, AlarmName=id)

    def create(self) -> None:
        """Not over one that is there."""
        assert self.find() is None
        self._put()

    def _put(self) -> None:
        tags = {"Tags": pairs(self.tags)} if self.tags else {}
        self.clients.cloudwatch.put_metric_alarm(**self.written, **tags)

    def find(self) -> Members | None:
        names = [self.written["AlarmName"]]
        answer = self.clients.cloudwatch.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"])
        return single(answer.get("MetricAlarms", []))

    def update(self, changed: frozenset[str]) -> None:
        self._put()

    def delete(self) -> None:
        try:
            self.clients.cloudwatch.delete_alarms(AlarmNames=[self.written["AlarmName"]])
        except ClientError as error:
            if not missing(error, "ResourceNotFoundException"):
                raise

    def list_tags(self, arn: str) -> dict[str, str]:
        answer = self.clients.cloudwatch.list_tags_for_resource(ResourceARN=arn)
        return {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}

    def untag(self, arn: str, keys: list[str]) -> None:
        self.clients.cloudwatch.untag_resource(ResourceARN=arn, TagKeys=keys)

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        self.clients.cloudwatch.tag_resource(ResourceARN=arn, Tags=pairs(tags))
