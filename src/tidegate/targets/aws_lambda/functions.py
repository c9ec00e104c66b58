"""Calls of Lambda that read or remove one function, its versions and its aliases."""

from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.errors import ResourceMissing
from tidegate.targets.aws.ownership import check_own
from tidegate.targets.aws_lambda.alias_traffic import ObservedAlias, parse_alias
from tidegate.targets.aws_lambda.marks import OWN, fleet_alias, is_version_of
from tidegate.targets.aws_lambda.versions import ObservedConfiguration, ObservedFunction, parse_configuration

SERVICE = "lambda"
_SETTLED = ("Active", "Inactive")


@dataclass
class FunctionClient:
    """Calls about functions of one installation."""

    calls: Calls
    installation: str
    _owned: set[str] = field(default_factory=set)
    _versions: dict[tuple[str, str], ObservedConfiguration] = field(default_factory=dict)
    """Published versions that serve, which do not change."""

    async def call(self, operation: str, members: dict[str, object]) -> dict[str, Any]:
        return await self.calls.call(SERVICE, operation, members)

    async def look(self, function: str, fleet: FleetId) -> ObservedFunction:
        """Read the current state of the function and of the fleet's version. Raises TargetRefused for a function that
        somebody else owns."""
        found = await self._find(function, fleet.endpoint)
        if found is None:
            return ObservedFunction()
        alias = await self._alias(function, fleet_alias(fleet))
        version = alias.version if alias is not None else await self._find_published(function, fleet)
        latest = parse_configuration(found["Configuration"])
        image = str(found.get("Code", {}).get("ImageUri", ""))
        if not version:
            return ObservedFunction(latest, image)
        return ObservedFunction(
            latest,
            image,
            version,
            await self.version(function, version),
            alias,
            await self._provisioned(function, version),
        )

    async def aliases(self, function: str, endpoint: str) -> dict[str, ObservedAlias]:
        """Read the aliases of the function, by name; empty where there is no function of ours."""
        if function not in self._owned and await self._find(function, endpoint) is None:
            return {}
        found: dict[str, ObservedAlias] = {}
        marker: dict[str, object] = {}
        try:
            while True:
                page = await self.call("ListAliases", {"FunctionName": function, **marker})
                found.update({alias.name: alias for alias in map(parse_alias, page.get("Aliases", ()))})
                if not page.get("NextMarker"):
                    return found
                marker = {"Marker": page["NextMarker"]}
        except ResourceMissing:
            self._owned.discard(function)
            return {}

    async def version(self, function: str, version: str) -> ObservedConfiguration:
        known = self._versions.get((function, version))
        if known is None:
            answer = await self.call("GetFunctionConfiguration", {"FunctionName": function, "Qualifier": version})
            known = parse_configuration(answer)
            if known.state in _SETTLED and known.update != "InProgress":
                self._versions[function, version] = known
        return known

    async def remove_version(self, function: str, version: str) -> None:
        self._versions.pop((function, version), None)
        await self._ignore_missing("DeleteProvisionedConcurrencyConfig", FunctionName=function, Qualifier=version)
        await self._ignore_missing("DeleteFunction", FunctionName=function, Qualifier=version)

    async def remove_alias(self, function: str, name: str) -> None:
        await self._ignore_missing("DeleteAlias", FunctionName=function, Name=name)

    async def exists(self, function: str, endpoint: str) -> bool:
        """Return whether the function exists. Raises TargetRefused for somebody else's function."""
        return await self._find(function, endpoint) is not None

    async def remove(self, function: str, endpoint: str) -> None:
        """The function with all that it has. Raises TargetRefused for somebody else's."""
        if await self._find(function, endpoint) is not None:
            await self._ignore_missing("DeleteFunction", FunctionName=function)
            self._owned.discard(function)

    async def own_versions(self, function: str) -> dict[str, str]:
        """Version -> description, of the versions that tidegate published."""
        found: dict[str, str] = {}
        marker: dict[str, object] = {}
        while True:
            page = await self.call("ListVersionsByFunction", {"FunctionName": function, **marker})
            for one in page.get("Versions", ()):
                description = str(one.get("Description", ""))
                if one.get("Version") != "$LATEST" and description.startswith(f"{OWN} "):
                    found[str(one["Version"])] = description
            if not page.get("NextMarker"):
                return found
            marker = {"Marker": page["NextMarker"]}

    # --- parts ---

    async def _find(self, function: str, endpoint: str) -> dict[str, Any] | None:
        try:
            found = await self.call("GetFunction", {"FunctionName": function})
        except ResourceMissing:
            self._owned.discard(function)
            return None
        check_own(found.get("Tags", {}), self.installation, endpoint, f"function {function}")
        self._owned.add(function)
        return found

    async def _alias(self, function: str, name: str) -> ObservedAlias | None:
        try:
            return parse_alias(await self.call("GetAlias", {"FunctionName": function, "Name": name}))
        except ResourceMissing:
            return None

    async def _find_published(self, function: str, fleet: FleetId) -> str:
        """The version of a fleet whose alias is not there yet; empty if there is none."""
        versions = await self.own_versions(function)
        return next((number for number, text in versions.items() if is_version_of(fleet, text)), "")

    async def _provisioned(self, function: str, version: str) -> tuple[int, str, str] | None:
        qualified: dict[str, object] = {"FunctionName": function, "Qualifier": version}
        try:
            found = await self.call("GetProvisionedConcurrencyConfig", qualified)
        except ResourceMissing:
            return None
        return (
            int(found.get("RequestedProvisionedConcurrentExecutions", 0)),
            str(found.get("Status", "")),
            str(found.get("StatusReason", "")),
        )

    async def _ignore_missing(self, operation: str, **members: object) -> None:
        try:
            await self.call(operation, members)
        except ResourceMissing:
            return
