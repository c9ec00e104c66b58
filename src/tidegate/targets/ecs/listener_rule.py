"""The listener rule of an endpoint: its weights, and the tags that say what tidegate wrote last.

Weights and tags change in two calls. The tags come first and keep what was before, so that a rule between the two is
told from one that somebody else changed.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import TargetRefused
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.errors import ResourceMissing
from tidegate.targets.aws.ownership import is_own, owner_tags, parse_tags, tag_list
from tidegate.targets.ecs.options import EcsOptions, path_pattern
from tidegate.targets.ecs.render import conditions
from tidegate.targets.ecs.rule_weights import forward_action, read_action

FENCE, WRITTEN, BEFORE = "tidegate:fence", "tidegate:written", "tidegate:before"
_MOST_TAGGED = 20
"""Resources of one DescribeTags."""


@dataclass(frozen=True)
class ObservedRule:
    """``shares``: ARN of a target group -> basis points; None: it does not forward."""

    arn: str
    shares: Mapping[str, int] | None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def fence(self) -> int:
        text = self.tags.get(FENCE, "")
        return int(text) if text.isdecimal() else 0

    def has(self, shares: Mapping[str, int]) -> bool:
        """Whether these are its shares, as far as weights can show them; target groups without one do not count."""
        shown = {arn: share for arn, share in (self.shares or {}).items() if share}
        wanted = read_action(forward_action(shares)) or {}
        return shown == {arn: share for arn, share in wanted.items() if share}


@dataclass
class ListenerRules:
    """Calls about the rules of one listener."""

    calls: Calls
    options: EcsOptions
    installation: str

    async def find(self, endpoint: str) -> ObservedRule | None:
        """The endpoint's rule. Raises TargetRefused for a rule of somebody else with the endpoint's path."""
        for rule in await self._rules():
            if _paths(rule) != [path_pattern(endpoint)]:
                continue
            arn = str(rule["RuleArn"])
            tags = (await self._tags([arn])).get(arn, {})
            if not is_own(tags, self.installation, endpoint):
                raise TargetRefused(
                    f"listener rule {arn} has the path of endpoint {endpoint} and does not belong to this"
                    " installation; it is left as it is: remove it, or choose another name"
                )
            return ObservedRule(arn, read_action(rule.get("Actions", ())), tags)
        return None

    async def create(self, endpoint: str, shares: Mapping[str, int], fence: int) -> None:
        # Not behind all others: one of those may take every path, and the last number may be taken.
        taken = {str(rule.get("Priority")) for rule in await self._rules()}
        free = next(number for number in itertools.count(1) if str(number) not in taken)
        tags = {**owner_tags(self.installation, endpoint), **_marks(shares, shares, fence)}
        members: dict[str, object] = {
            "ListenerArn": self.options.listener,
            "Priority": free,
            "Conditions": conditions(endpoint),
            "Actions": forward_action(shares),
            "Tags": tag_list(tags),
        }
        await self.calls.call("elbv2", "CreateRule", members)

    async def change(self, rule: ObservedRule, shares: Mapping[str, int], fence: int) -> None:
        """Change the shares and the fence of a rule. Raises TargetRefused for a rule that somebody else changed."""
        check_untouched(rule)
        marks = _marks(shares, rule.shares or {}, fence)
        await self.calls.call("elbv2", "AddTags", {"ResourceArns": [rule.arn], "Tags": tag_list(marks)})
        members = {"RuleArn": rule.arn, "Actions": forward_action(shares)}
        await self.calls.call("elbv2", "ModifyRule", members)

    async def delete(self, rule: ObservedRule) -> None:
        try:
            await self.calls.call("elbv2", "DeleteRule", {"RuleArn": rule.arn})
        except ResourceMissing:
            return

    async def _rules(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        marker: dict[str, object] = {}
        while True:
            page = await self.calls.call(
                "elbv2", "DescribeRules", {"ListenerArn": self.options.listener, **marker}
            )
            found += page.get("Rules", ())
            if not page.get("NextMarker"):
                return found
            marker = {"Marker": page["NextMarker"]}

    async def _tags(self, arns: list[str]) -> dict[str, dict[str, str]]:
        answer = await self.calls.call("elbv2", "DescribeTags", {"ResourceArns": arns[:_MOST_TAGGED]})
        return {
            str(one["ResourceArn"]): parse_tags(one.get("Tags", ())) for one in answer.get("TagDescriptions", ())
        }


def is_untouched(rule: ObservedRule) -> bool:
    """Whether the weights are those that tidegate wrote, or had before the last write."""
    return _describe_rule(rule) in (rule.tags.get(WRITTEN), rule.tags.get(BEFORE))


def check_untouched(rule: ObservedRule) -> None:
    """Check that the rule is as tidegate wrote it. Raises TargetRefused for a rule that somebody else changed."""
    if not is_untouched(rule):
        raise TargetRefused(
            f"listener rule {rule.arn} was changed by somebody else (now {_describe_rule(rule)}; last written:"
            f" {rule.tags.get(WRITTEN, 'nothing')}); put it back, or set its tag {WRITTEN} to the present value to"
            " let tidegate go on"
        )


def _describe_rule(rule: ObservedRule) -> str:
    return _text(rule.shares) if rule.shares is not None else "no forwarding"


def _marks(shares: Mapping[str, int], before: Mapping[str, int], fence: int) -> dict[str, str]:
    return {FENCE: str(fence), WRITTEN: _text(shares), BEFORE: _text(before)}


def _text(shares: Mapping[str, int]) -> str:
    """The name of each target group with its share, as weights can show it."""
    shown = read_action(forward_action(shares)) if shares else {}
    return " ".join(f"{arn.split('/')[-2]}={share}" for arn, share in sorted((shown or {}).items()))


def _paths(rule: Mapping[str, Any]) -> list[str]:
    """The paths of a rule without other conditions; empty otherwise."""
    found = rule.get("Conditions", ())
    if len(found) != 1 or found[0].get("Field") != "path-pattern":
        return []
    return [*(found[0].get("PathPatternConfig", {}).get("Values") or found[0].get("Values", ()))]
