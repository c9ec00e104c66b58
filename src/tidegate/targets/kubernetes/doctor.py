"""Checks whether a cluster can be used: credentials, version, rights, quotas."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid, StartupError, TargetRefused, TidegateError
from tidegate.ports.target import CheckFinding, Level, Options
from tidegate.targets.kubernetes.api import KINDS, KubeApi, connect
from tidegate.targets.kubernetes.api_errors import MissingRight
from tidegate.targets.kubernetes.api_versions import choose
from tidegate.targets.kubernetes.control_plane import NAME as ACCOUNT
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options
from tidegate.targets.kubernetes.render import render_kubernetes
from tidegate.targets.kubernetes.rights import needed_rights

OLDEST = (1, 20)
MAINTAINED = (1, 25)


def check_kubernetes(given: Options, desired: DesiredDeployment | None) -> list[CheckFinding]:
    try:
        options = read_options(given)
        api = connect(options)
    except StartupError as error:
        return [CheckFinding("settings", Level.ERROR, str(error))]
    return asyncio.run(check(api, options, given, desired))


async def check(
    api: KubeApi, options: KubernetesOptions, given: Options, desired: DesiredDeployment | None
) -> list[CheckFinding]:
    findings = [await checked("cluster", lambda: check_version(api))]
    if findings[0].level is not Level.UNKNOWN:
        findings.append(await checked("API versions", lambda: check_groups(api, options)))
        findings.append(await checked("permissions", lambda: check_rights(api, options)))
        findings.append(await checked("quotas", lambda: check_quotas(api)))
    if desired is not None:
        findings.append(check_deployment(given, desired))
    await api.close()
    return findings


async def checked(what: str, look: Callable[[], Awaitable[CheckFinding]]) -> CheckFinding:
    try:
        return await look()
    except TidegateError as error:
        return CheckFinding(what, Level.UNKNOWN, str(error))


async def check_version(api: KubeApi) -> CheckFinding:
    text = await api.version()
    found = re.match(r"v(\d+)\.(\d+)", text)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < OLDEST:
        return CheckFinding("cluster", Level.ERROR, f"Kubernetes {text} is too old", "1.20 or later is needed")
    if version < MAINTAINED:
        return CheckFinding(
            "cluster", Level.WARNING, f"Kubernetes {text}, which nobody maintains", "update the cluster"
        )
    return CheckFinding("cluster", Level.OK, f"Kubernetes {text}, namespace {api.namespace}")


async def check_groups(api: KubeApi, options: KubernetesOptions) -> CheckFinding:
    groups = await api.groups()
    versions, (declared, _) = choose(groups), KINDS["Endpoint"]
    if options.http_route is not None and not versions.gateway_api:
        remedy = "install the Gateway API, or remove http_route from the settings"
        return CheckFinding("API versions", Level.ERROR, "no gateway.networking.k8s.io/v1 in the cluster", remedy)
    if not versions.keda and any(one.kind == "keda" for one in options.autoscaling.values()):
        return CheckFinding(
            "API versions", Level.ERROR, "no keda.sh/v1alpha1 in the cluster", "install KEDA, or use hpa"
        )
    if options.endpoint_resources and declared not in groups:
        remedy = "kubectl apply -f deploy/helm/tidegate/crds/endpoints.yaml, or remove endpoint_resources"
        return CheckFinding("API versions", Level.ERROR, f"no {declared} in the cluster", remedy)
    return CheckFinding("API versions", Level.OK, f"{versions.disruption_budget}, {versions.autoscaler}")


async def check_rights(api: KubeApi, options: KubernetesOptions) -> CheckFinding:
    """Check the rights of the controller's ServiceAccount where there is one: whoever runs this may have others.
    Where a kubeconfig is given, the controller uses the same credentials."""
    needed = needed_rights(options)
    account = "" if options.kubeconfig else await _find_account(api)
    try:
        answers = await asyncio.gather(*(api.may(verb, kind, account) for verb, kind in needed))
    except MissingRight as error:
        remedy = "run it as somebody who may create subjectaccessreviews, such as an administrator of the cluster"
        return CheckFinding("permissions", Level.UNKNOWN, f"those of ServiceAccount {account}: {error}", remedy)
    whose = f"ServiceAccount {account}: " if account else ""
    missing = [f"{verb} {kind}" for (verb, kind), may in zip(needed, answers, strict=True) if not may]
    if missing:
        remedy = f"add them to the Role of the controller in namespace {api.namespace} (deploy/helm/tidegate)"
        return CheckFinding("permissions", Level.ERROR, f"{whose}missing: {', '.join(missing)}", remedy)
    return CheckFinding("permissions", Level.OK, f"{whose}all {len(needed)} that are needed")


async def _find_account(api: KubeApi) -> str:
    """The controller's ServiceAccount; empty where there is none, or it may not be looked for: then the credentials
    are taken for the controller's own."""
    with contextlib.suppress(TargetRefused):
        return ACCOUNT if await api.get("ServiceAccount", ACCOUNT) is not None else ""
    return ""


async def check_quotas(api: KubeApi) -> CheckFinding:
    """A quota that is used up lets no replica start."""
    try:
        quotas = await api.find("ResourceQuota", "")
    except TidegateError as error:
        return CheckFinding("quotas", Level.WARNING, f"not checked: {error}")
    full = [
        f"{one['metadata']['name']}: {name} {used} of {hard[name]}"
        for one in quotas
        for status in (one.get("status") or {},)
        for hard in (status.get("hard") or {},)
        for name, used in (status.get("used") or {}).items()
        if hard.get(name) == used and used not in ("0", 0)
    ]
    if full:
        return CheckFinding(
            "quotas", Level.WARNING, f"used up: {', '.join(full)}", "raise them, or nothing more starts"
        )
    return CheckFinding("quotas", Level.OK, f"{len(quotas)} in the namespace, none used up" if quotas else "none")


def check_deployment(given: Options, desired: DesiredDeployment) -> CheckFinding:
    what = f"endpoint {desired.endpoint}"
    try:
        rendering = render_kubernetes(desired, given)
    except Invalid as error:
        return CheckFinding(what, Level.ERROR, str(error))
    return CheckFinding(what, Level.OK, f"compiles to {len(rendering.documents)} objects")
