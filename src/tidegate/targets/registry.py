"""The targets there are: one row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.domain.targets import LOCAL
from tidegate.ports.artifacts import ArtifactArchive
from tidegate.ports.direct import OpenDirect
from tidegate.ports.target import Checker, Provider, Renderer
from tidegate.targets.aws_lambda.doctor import check_lambda
from tidegate.targets.aws_lambda.provider import provide_lambda
from tidegate.targets.aws_lambda.render import render_calls, render_image, render_template
from tidegate.targets.context import TargetContext
from tidegate.targets.ecs import doctor as ecs_doctor
from tidegate.targets.ecs import provider as ecs_provider
from tidegate.targets.ecs import render as ecs_render
from tidegate.targets.kubernetes.doctor import check_kubernetes
from tidegate.targets.kubernetes.provider import provide_kubernetes
from tidegate.targets.kubernetes.render import render_kubernetes
from tidegate.targets.local.artifact_archive import open_archive
from tidegate.targets.local.provider import provide_local
from tidegate.targets.sagemaker import commands as sagemaker
from tidegate.targets.sagemaker.direct import open_direct
from tidegate.targets.sagemaker.provider import provide_sagemaker


@dataclass(frozen=True)
class TargetKind:
    """``renderers``: form -> what prints a deployment in it, the usual form first; empty where the platform itself
    runs what it deploys. Modules of a target import what needs an extra only once it is used."""

    provide: Callable[[TargetContext], Provider]
    renderers: Mapping[str, Renderer] = field(default_factory=dict)
    check: Checker | None = None
    direct: OpenDirect | None = None
    """Deploys without a server; None where only a server can."""
    archive: Callable[[Path], ArtifactArchive] | None = None
    """Kept model data of a state folder, for backups: without a target that runs. None: it keeps none."""


KINDS: Mapping[str, TargetKind] = {
    LOCAL: TargetKind(provide_local, archive=open_archive),
    "kubernetes": TargetKind(provide_kubernetes, {"manifests": render_kubernetes}, check_kubernetes),
    "ecs": TargetKind(
        ecs_provider.provide_ecs,
        {"calls": ecs_render.render_calls, "cloudformation": ecs_render.render_template},
        ecs_doctor.check_ecs,
    ),
    "lambda": TargetKind(
        provide_lambda,
        {"calls": render_calls, "cloudformation": render_template, "dockerfile": render_image},
        check_lambda,
    ),
    "sagemaker": TargetKind(
        provide_sagemaker,
        {"calls": sagemaker.render_calls, "cloudformation": sagemaker.render_cloudformation},
        sagemaker.check,
        open_direct,
    ),
}
