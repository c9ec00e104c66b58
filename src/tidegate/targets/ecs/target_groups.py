"""Target groups of fleets: found by name, and after a restart by the tags that say whose they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.errors import ResourceBusy, ResourceMissing
from tidegate.targets.aws.ownership import ENDPOINT, INSTALLATION, parse_tags
from tidegate.targets.ecs.options import EcsOptions, group_name
from tidegate.targets.ecs.task_definition import target_group

FLEET = "tidegate:fleet"
_MOST_TAGGED = 20
"""Resources of one DescribeTags."""


@dataclass
class TargetGroups:
    calls: Calls
    options: EcsOptions
    installation: str
    known: dict[FleetId, str] = field(default_factory=dict)
    """ARN of each fleet's target group."""
    _searched: bool = False

    async def search(self) -> None:
        """Look once for all that an earlier controller left."""
        if self._searched:
            return
        arns: list[str] = []
        marker: dict[str, object] = {}
        while True:
            page = await self.calls.call("elbv2", "DescribeTargetGroups", {"PageSize": 400, **marker})
            found = page.get("TargetGroups", ())
            arns += [str(one["TargetGroupArn"]) for one in found if str(one["TargetGroupName"]).startswith("tg-")]
            if not page.get("NextMarker"):
                break
            marker = {"Marker": page["NextMarker"]}
        for at in range(0, len(arns), _MOST_TAGGED):
            answer = await self.calls.call("elbv2", "DescribeTags", {"ResourceArns": arns[at : at + _MOST_TAGGED]})
            for one in answer.get("TagDescriptions", ()):
                tags = parse_tags(one.get("Tags", ()))
                number = tags.get(FLEET, "").partition("/")[0]
                if tags.get(INSTALLATION) == self.installation and ENDPOINT in tags and number.isdecimal():
                    self.known[parse_fleet(tags[ENDPOINT], tags[FLEET])] = str(one["ResourceArn"])
        self._searched = True

    def of(self, endpoint: str) -> dict[FleetId, str]:
        return {id: arn for id, arn in self.known.items() if id.endpoint == endpoint}

    async def find(self, fleet: FleetId) -> str | None:
        if fleet not in self.known:
            names = {"Names": [group_name(fleet, self.installation)]}
            try:
                answer = await self.calls.call("elbv2", "DescribeTargetGroups", names)
            except ResourceMissing:
                return None
            if not answer.get("TargetGroups"):
                return None
            self.known[fleet] = str(answer["TargetGroups"][0]["TargetGroupArn"])
        return self.known[fleet]

    async def ensure(self, fleet: FleetId, tags: Mapping[str, str]) -> str:
        known = await self.find(fleet)
        if known is not None:
            return known
        members = target_group(self.options, group_name(fleet, self.installation), tags)
        answer = await self.calls.call("elbv2", "CreateTargetGroup", members)
        self.known[fleet] = str(answer["TargetGroups"][0]["TargetGroupArn"])
        return self.known[fleet]

    async def delete(self, fleet: FleetId) -> None:
        """Delete a fleet's target group, to which no rule may forward any more. Raises Transient while the load
        balancer still uses it."""
        group = await self.find(fleet)
        if group is None:
            return
        try:
            await self.calls.call("elbv2", "DeleteTargetGroup", {"TargetGroupArn": group})
        except ResourceBusy as error:
            raise Transient(f"target group of {fleet} is still in use: {error}") from None
        except ResourceMissing:
            pass  # somebody else removed it
        del self.known[fleet]

    async def count_healthy(self, group: str) -> int:
        answer = await self.calls.call("elbv2", "DescribeTargetHealth", {"TargetGroupArn": group})
        states = [one.get("TargetHealth", {}).get("State") for one in answer.get("TargetHealthDescriptions", ())]
        return states.count("healthy")


def fleet_text(fleet: FleetId) -> str:
    """Value of the tag; the endpoint has a tag of its own."""
    return f"{fleet.generation}/{fleet.variant}"


def parse_fleet(endpoint: str, text: str) -> FleetId:
    generation, _, variant = text.partition("/")
    return FleetId(endpoint, int(generation), variant)
