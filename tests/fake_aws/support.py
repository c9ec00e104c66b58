"""What else the target asks of an account: who am I, may I, how many may I have, are my images and objects there."""

from dataclasses import dataclass, field
from typing import Any

from tests.fake_aws.clock import FakeClock
from tests.fake_aws.faults import AwsRefusal

Params = dict[str, Any]


@dataclass
class FakeIdentity:
    """STS and IAM."""

    account: str
    forbidden: set[str] = field(default_factory=set)
    simulated_page: int = 100
    """Results of SimulatePrincipalPolicy on a page."""
    """Actions that a simulation refuses, such as ``sagemaker:AddTags``."""
    roles: set[str] = field(default_factory=lambda: {"tidegate-run"})

    def get_caller_identity(self, params: Params) -> Params:
        return {"UserId": "AID", "Account": self.account, "Arn": f"arn:aws:iam::{self.account}:user/dev"}

    def get_role(self, params: Params) -> Params:
        name = params["RoleName"]
        if name not in self.roles:
            raise AwsRefusal("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
        return {
            "Role": {
                "Path": "/service/",
                "RoleName": name,
                "RoleId": "AROAEXAMPLEEXAMPLE",
                "Arn": f"arn:aws:iam::{self.account}:role/service/{name}",
                "CreateDate": FakeClock().now(),
            }
        }

    def simulate_principal_policy(self, params: Params) -> Params:
        begin = int(params.get("Marker", 0))
        end = begin + self.simulated_page
        more = end < len(params["ActionNames"])
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalDecision": "implicitDeny" if action in self.forbidden else "allowed",
                }
                for action in params["ActionNames"][begin:end]
            ],
            "IsTruncated": more,
            **({"Marker": str(end)} if more else {}),
        }


@dataclass
class FakeQuotas:
    """Service Quotas, which knows what FakeSageMaker enforces."""

    quotas: dict[str, int]

    def list_service_quotas(self, params: Params) -> Params:
        return {
            "Quotas": [
                {"QuotaName": f"{type} for endpoint usage", "QuotaCode": "L-0", "Value": float(value)}
                for type, value in self.quotas.items()
            ]
        }


@dataclass
class FakeRegistry:
    """ECR: (account, repository) -> architectures."""

    images: dict[tuple[str, str], str] = field(default_factory=dict)
    knows_all: bool = True

    def describe_images(self, params: Params) -> Params:
        key = (params.get("registryId", ""), params["repositoryName"])
        if not self.knows_all and key not in self.images:
            raise AwsRefusal("RepositoryNotFoundException", f"The repository {key[1]} does not exist")
        return {"imageDetails": [{"repositoryName": key[1], "imageDigest": "sha256:" + "0" * 64}]}


@dataclass
class FakeLogs:
    """CloudWatch Logs: group -> stream -> (milliseconds, line)."""

    groups: dict[str, dict[str, list[tuple[int, str]]]] = field(default_factory=dict)

    def describe_log_streams(self, params: Params) -> Params:
        streams = self._group(params["logGroupName"])
        return {
            "logStreams": [
                {
                    "logStreamName": name,
                    "creationTime": lines[0][0] if lines else 0,
                    "lastEventTimestamp": lines[-1][0] if lines else 0,
                    "storedBytes": sum(len(line) for _, line in lines),
                }
                for name, lines in sorted(streams.items())
            ]
        }

    def get_log_events(self, params: Params) -> Params:
        lines = self._group(params["logGroupName"]).get(params["logStreamName"], [])
        shown = lines[-params.get("limit", 10_000) :]
        events = [{"timestamp": at, "message": line, "ingestionTime": at} for at, line in shown]
        return {"events": events, "nextForwardToken": "f/0", "nextBackwardToken": "b/0"}

    def _group(self, name: str) -> dict[str, list[tuple[int, str]]]:
        if name not in self.groups:
            raise AwsRefusal("ResourceNotFoundException", "The specified log group does not exist.")
        return self.groups[name]


@dataclass
class FakeRuntime:
    """InvokeEndpoint. ``status`` other than 200 is the container's own error."""

    endpoints: Any
    status: int = 200
    body: bytes = b"0.5"

    def invoke_endpoint(self, params: Params) -> Params:
        found = self.endpoints.get(params["EndpointName"])
        if found is None or found.status not in ("InService", "Updating", "RollingBack"):
            raise AwsRefusal("ValidationError", f"Endpoint {params['EndpointName']} of account not found.")
        if self.status != 200:
            raise AwsRefusal("ModelError", f"Received server error ({self.status}) from primary", 424)
        return {"Body": self.body, "ContentType": "text/csv", "InvokedProductionVariant": "AllTraffic"}
