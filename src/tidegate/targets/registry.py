"""The targets there are: one line for each. A target is imported once it is asked for: most servers and commands use
one, and five would take a fifth of the processor time of a start."""

from collections.abc import Iterator, Mapping

from tidegate.domain.targets import LOCAL
from tidegate.host.late_import import load
from tidegate.targets.kind import TargetKind

MODULES: dict[str, str] = {
    LOCAL: "tidegate.targets.local.kind",
    "kubernetes": "tidegate.targets.kubernetes.kind",
    "ecs": "tidegate.targets.ecs.kind",
    "lambda": "tidegate.targets.aws_lambda.kind",
    "sagemaker": "tidegate.targets.sagemaker.kind",
}
"""Name -> module with its ``KIND``."""


class _Kinds(Mapping[str, TargetKind]):
    def __getitem__(self, name: str) -> TargetKind:
        kind: TargetKind = load(MODULES[name], "KIND")
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)

    def __contains__(self, name: object) -> bool:
        return name in MODULES


KINDS: Mapping[str, TargetKind] = _Kinds()
