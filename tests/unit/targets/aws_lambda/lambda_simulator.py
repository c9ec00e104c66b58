"""A simulator of AWS Lambda's control plane, with routing by weight, which no emulator has.

It follows the API reference: code and configuration change one at a time and take a while, versions are frozen,
revisions guard changes, an alias routes to one version and one more by weight. It is not AWS: what it leaves out
(permissions, quotas of accounts, cold starts) is not tested by it.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from tidegate.targets.aws.errors import ErrorAnswer, translate

REGION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:"
SETTLING = 2
"""Looks at a change until it is done."""


def refused(operation: str, code: str, message: str, status: int = 400) -> Exception:
    return translate(ErrorAnswer("lambda", operation, "", code, message, status))


@dataclass
class Frozen:
    members: dict[str, Any]
    settling: int = 0
    """Looks until its state is Active."""
    failed: str = ""

    def shown(self) -> dict[str, Any]:
        state = "Failed" if self.failed else "Pending" if self.settling > 0 else "Active"
        self.settling -= 1
        return {**self.members, "State": state, **({"StateReason": self.failed} if self.failed else {})}


@dataclass
class Function:
    members: dict[str, Any]
    tags: dict[str, str]
    revision: int = 1
    settling: int = SETTLING
    creating: bool = True
    versions: dict[str, Frozen] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    provisioned: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Version -> how many, and looks until they are ready."""
    numbers: int = 0
    published: tuple[str, str] | None = None
    """Code and configuration of the last version: an equal one is not published again."""


@dataclass
class LambdaSimulator:
    """A ``targets.aws.calls.Calls``. ``fail``: operation -> the error of its next call."""

    now: Callable[[], float] = lambda: 0.0
    chance: Random = field(default_factory=lambda: Random(1))
    functions: dict[str, Function] = field(default_factory=dict)
    fail: dict[str, Exception] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Configs whose versions never start."""
    unstartable: set[str] = field(default_factory=set)
    """Configs whose versions are Active, and end when they are started."""
    away: bool = False
    counts: dict[tuple[str, str, str, int], Counter[str]] = field(default_factory=dict)
    """(function, alias, version, minute) -> invocations and errors."""

    async def call(self, service: str, operation: str, members: Mapping[str, object]) -> dict[str, Any]:
        if self.away:
            raise translate(ErrorAnswer(service, operation, "", "ServiceException", "away", 500))
        if (error := self.fail.pop(operation, None)) is not None:
            raise error
        answer: dict[str, Any] = getattr(self, f"_{operation}")(dict(members))
        return answer

    def invoke(self, function: str, qualifier: str, failing: Callable[[str], bool] = lambda config: False) -> str:
        """Route one request by the alias's weights. Returns the version."""
        found = self.functions[function]
        alias = found.aliases[qualifier]
        version = str(alias["FunctionVersion"])
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        for other, weight in weights.items():
            if self.chance.random() < weight:
                version = other
        executed = version if weights else ""
        config = found.versions[version].members["Environment"]["Variables"]["TIDEGATE_CONFIG"]
        minute = int(self.now()) // 60 * 60
        for place in {executed, ""}:
            count = self.counts.setdefault((function, qualifier, place, minute), Counter())
            count["Invocations"] += 1
            count["Errors"] += failing(config)
        return version

    # --- functions and versions ---

    def _CreateFunction(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.pop("FunctionName")
        if name in self.functions:
            raise refused("CreateFunction", "ResourceConflictException", f"Function already exist: {name}", 409)
        tags = given.pop("Tags", {})
        given.pop("Publish", None)
        members = {"FunctionName": name, "FunctionArn": REGION_ARN + name, "Version": "$LATEST"}
        self.functions[name] = Function({**members, **self._kept(given)}, dict(tags))
        return self._shown(self.functions[name])

    @staticmethod
    def _kept(given: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in given.items() if name not in ("Code", "RevisionId", "Layers")}
        if "Code" in given:
            kept["CodeSha256"] = sha256(given["Code"].get("ZipFile", b""))
        if "Layers" in given:
            kept["Layers"] = [{"Arn": arn, "CodeSize": 1} for arn in given["Layers"]]
        return kept

    def _shown(self, function: Function) -> dict[str, Any]:
        busy = function.settling > 0
        function.settling -= 1
        if not busy:
            function.creating = False
        return {
            **function.members,
            "RevisionId": str(function.revision),
            "State": "Pending" if busy and function.creating else "Active",
            "LastUpdateStatus": "InProgress" if busy else "Successful",
        }

    def _of(self, given: dict[str, Any], operation: str) -> Function:
        name = given["FunctionName"]
        if name not in self.functions:
            raise refused(operation, "ResourceNotFoundException", f"Function not found: {name}", 404)
        return self.functions[name]

    def _changeable(self, given: dict[str, Any], operation: str) -> Function:
        function = self._of(given, operation)
        if given.get("RevisionId") not in (None, str(function.revision)):
            raise refused(operation, "PreconditionFailedException", "The Revision Id provided does not match", 412)
        if function.settling > 0:
            raise refused(operation, "ResourceConflictException", "An update is in progress", 409)
        return function

    def _GetFunction(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._of(given, "GetFunction")
        return {
            "Configuration": self._shown(function),
            "Code": {"RepositoryType": "S3"},
            "Tags": dict(function.tags),
        }

    def _GetFunctionConfiguration(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._version(given, "GetFunctionConfiguration").shown()

    def _version(self, given: dict[str, Any], operation: str) -> Frozen:
        function, version = self._of(given, operation), given["Qualifier"]
        if version not in function.versions:
            raise refused(operation, "ResourceNotFoundException", f"Function not found: {version}", 404)
        return function.versions[version]

    def _UpdateFunctionCode(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._changeable(given, "UpdateFunctionCode")
        function.members["CodeSha256"] = sha256(given.get("ZipFile", b""))
        return self._changed(function)

    def _UpdateFunctionConfiguration(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._changeable(given, "UpdateFunctionConfiguration")
        function.members.update(self._kept({n: v for n, v in given.items() if n != "FunctionName"}))
        return self._changed(function)

    def _changed(self, function: Function) -> dict[str, Any]:
        function.revision += 1
        function.settling = SETTLING
        return self._shown(function)

    def _PublishVersion(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._changeable(given, "PublishVersion")
        content = (str(function.members.get("CodeSha256")), repr(sorted(function.members.items(), key=str)))
        if function.published == content:
            return function.versions[str(function.numbers)].shown()
        function.published, function.numbers = content, function.numbers + 1
        number = str(function.numbers)
        config = function.members["Environment"]["Variables"]["TIDEGATE_CONFIG"]
        members = {**function.members, "Version": number, "Description": given.get("Description", "")}
        failed = "The function could not be initialised" if config in self.broken else ""
        function.versions[number] = Frozen(members, SETTLING, failed)
        function.revision += 1
        return function.versions[number].shown()

    def _ListVersionsByFunction(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._of(given, "ListVersionsByFunction")
        return {"Versions": [function.members, *(version.members for version in function.versions.values())]}

    def _DeleteFunction(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._of(given, "DeleteFunction")
        version = given.get("Qualifier")
        if version is None:
            del self.functions[given["FunctionName"]]
            return {}
        used = [name for name, alias in function.aliases.items() if version in versions_of(alias)]
        if used:
            raise refused("DeleteFunction", "ResourceConflictException", f"aliases reference it: {used}", 409)
        if version not in function.versions:
            raise refused("DeleteFunction", "ResourceNotFoundException", "Function not found", 404)
        del function.versions[version]
        return {}

    def _Invoke(self, given: dict[str, Any]) -> dict[str, Any]:
        """A ping of a version: its model is loaded."""
        config = self._version(given, "Invoke").members["Environment"]["Variables"]["TIDEGATE_CONFIG"]
        if config in self.unstartable:
            told = {"errorType": "ArtifactError", "errorMessage": "the model needs a file that is not there"}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": json.dumps(told).encode()}
        return {"StatusCode": 200, "Payload": b'{"statusCode": 200, "body": ""}'}

    # --- aliases ---

    def _GetAlias(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._alias(given, "GetAlias")

    def _alias(self, given: dict[str, Any], operation: str) -> dict[str, Any]:
        function = self._of(given, operation)
        if given["Name"] not in function.aliases:
            raise refused(operation, "ResourceNotFoundException", f"Cannot find alias: {given['Name']}", 404)
        return function.aliases[given["Name"]]

    def _ListAliases(self, given: dict[str, Any]) -> dict[str, Any]:
        """Two on a page."""
        aliases = list(self._of(given, "ListAliases").aliases.values())
        first = int(given.get("Marker", 0))
        more = {"NextMarker": str(first + 2)} if len(aliases) > first + 2 else {}
        return {"Aliases": aliases[first : first + 2], **more}

    def _CreateAlias(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._of(given, "CreateAlias")
        if given["Name"] in function.aliases:
            raise refused("CreateAlias", "ResourceConflictException", "Alias already exists", 409)
        return self._put_alias(function, given, "CreateAlias", 1)

    def _UpdateAlias(self, given: dict[str, Any]) -> dict[str, Any]:
        known = self._alias(given, "UpdateAlias")
        if given.get("RevisionId") not in (None, known["RevisionId"]):
            raise refused("UpdateAlias", "PreconditionFailedException", "The Revision Id does not match", 412)
        return self._put_alias(
            self._of(given, "UpdateAlias"), {**known, **given}, "UpdateAlias", int(known["RevisionId"]) + 1
        )

    def _put_alias(
        self, function: Function, given: dict[str, Any], operation: str, revision: int
    ) -> dict[str, Any]:
        weights = given.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if len(weights) > 1 or not all(0 <= weight <= 1 for weight in weights.values()):
            raise refused(
                operation, "InvalidParameterValueException", "one additional version, weights from 0 to 1"
            )
        unknown = {given["FunctionVersion"], *weights} - function.versions.keys()
        if unknown or given["FunctionVersion"] in weights:
            raise refused(operation, "ResourceNotFoundException", f"Function not found: {unknown}", 404)
        name = given["Name"]
        function.aliases[name] = {
            "AliasArn": f"{REGION_ARN}{given.get('FunctionName', 'f')}:{name}",
            "Name": name,
            "FunctionVersion": given["FunctionVersion"],
            "Description": given.get("Description", ""),
            "RevisionId": str(revision),
            **({"RoutingConfig": {"AdditionalVersionWeights": dict(weights)}} if weights else {}),
        }
        return function.aliases[name]

    def _DeleteAlias(self, given: dict[str, Any]) -> dict[str, Any]:
        self._of(given, "DeleteAlias").aliases.pop(given["Name"], None)
        return {}

    # --- provisioned concurrency ---

    def _PutProvisionedConcurrencyConfig(self, given: dict[str, Any]) -> dict[str, Any]:
        self._version(given, "PutProvisionedConcurrencyConfig")
        function, count = self._of(given, "Put"), given["ProvisionedConcurrentExecutions"]
        function.provisioned[given["Qualifier"]] = (count, SETTLING)
        return {"RequestedProvisionedConcurrentExecutions": count, "Status": "IN_PROGRESS"}

    def _GetProvisionedConcurrencyConfig(self, given: dict[str, Any]) -> dict[str, Any]:
        function = self._of(given, "GetProvisionedConcurrencyConfig")
        if given["Qualifier"] not in function.provisioned:
            code = "ProvisionedConcurrencyConfigNotFoundException"
            raise refused("GetProvisionedConcurrencyConfig", code, "no config", 404)
        count, left = function.provisioned[given["Qualifier"]]
        function.provisioned[given["Qualifier"]] = (count, left - 1)
        status = "IN_PROGRESS" if left > 0 else "READY"
        return {"RequestedProvisionedConcurrentExecutions": count, "Status": status}

    def _DeleteProvisionedConcurrencyConfig(self, given: dict[str, Any]) -> dict[str, Any]:
        self._of(given, "DeleteProvisionedConcurrencyConfig").provisioned.pop(given["Qualifier"], None)
        return {}

    # --- other services ---

    def _GetMetricData(self, given: dict[str, Any]) -> dict[str, Any]:
        since, until = given["StartTime"].timestamp(), given["EndTime"].timestamp()
        lines = []
        for query in given["MetricDataQueries"]:
            metric, statistic = query["MetricStat"]["Metric"], query["MetricStat"]["Stat"]
            dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            function, _, alias = dimensions.get("Resource", "").partition(":")
            found = {}
            for (owner, name, version, minute), counts in self.counts.items():
                same = (owner, name, version) == (function, alias, dimensions.get("ExecutedVersion", ""))
                if same and since <= minute < until:
                    value = 20.0 if metric["MetricName"] == "Duration" else counts[metric["MetricName"]]
                    found[minute] = float(value)
            assert statistic in ("Sum", "Maximum") or statistic.startswith("p")
            times = [datetime.fromtimestamp(minute, UTC) for minute in sorted(found)]
            values = [found[minute] for minute in sorted(found)]
            lines.append({"Id": query["Id"], "Timestamps": times, "Values": values, "StatusCode": "Complete"})
        return {"MetricDataResults": lines}

    def _GetResources(self, given: dict[str, Any]) -> dict[str, Any]:
        (wanted,) = given["TagFilters"]
        return {
            "ResourceTagMappingList": [
                {
                    "ResourceARN": REGION_ARN + name,
                    "Tags": [{"Key": key, "Value": value} for key, value in function.tags.items()],
                }
                for name, function in self.functions.items()
                if function.tags.get(wanted["Key"]) in wanted["Values"]
            ]
        }


def versions_of(alias: Mapping[str, Any]) -> set[str]:
    return {alias["FunctionVersion"], *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})}


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def changed(alias: dict[str, Any], **members: object) -> dict[str, Any]:
    """As somebody else changed it."""
    return {**alias, **members, "RevisionId": str(int(alias["RevisionId"]) + 1)}
