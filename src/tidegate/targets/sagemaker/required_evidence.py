"""``require_evidence`` of the update in progress as tags of its endpoint, for whoever follows it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.targets.sagemaker.calls import CompiledDeployment

EVIDENCE, GUARD = "tidegate:evidence", "tidegate:guard-"
_NONE = "none"


@dataclass(frozen=True)
class RequiredEvidence:
    """``guards``: names of the alarms that must have data before a bake ends; ``bake``: seconds of the shortest."""

    guards: tuple[str, ...]
    bake: int


def evidence_of(compiled: CompiledDeployment) -> RequiredEvidence | None:
    """Return the evidence that a compiled deployment requires; None where the spec requires none."""
    if not compiled.require_evidence:
        return None
    guards = tuple(name for name in compiled.guards if name != compiled.abort_alarm)
    return RequiredEvidence(guards, min((step.wait for step in compiled.steps if step.wait), default=0))


def evidence_tags(required: RequiredEvidence | None) -> dict[str, str]:
    """Return the tags of an endpoint that hold its required evidence. Names of alarms are as long as the value of a
    tag may be, so each has its own tag. Tags of an earlier update may remain beside them."""
    if required is None:
        return {EVIDENCE: _NONE}
    named = {f"{GUARD}{number}": name for number, name in enumerate(required.guards)}
    return {EVIDENCE: f"{required.bake} {len(required.guards)}", **named}


def read_evidence(tags: Mapping[str, str]) -> RequiredEvidence | None:
    """Read the tags that ``evidence_tags`` wrote; None where no evidence is required. An alarm whose tag is gone has
    no data."""
    bake, _, count = tags.get(EVIDENCE, _NONE).partition(" ")
    if not (bake.isdecimal() and count.isdecimal()):
        return None
    return RequiredEvidence(tuple(tags.get(f"{GUARD}{number}", "") for number in range(int(count))), int(bake))
