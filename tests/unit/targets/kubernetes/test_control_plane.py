"""The platform as a workload of the cluster: chart, plain manifests, and rights that suffice and are no more."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.unit.targets.kubernetes.fleets import fleet_spec
from tests.unit.targets.kubernetes.jobs import DESCRIBED, JOB, NO_STORE, WITH_JOBS, Board, database_secret
from tests.unit.targets.kubernetes.memory_jobs import MemoryJobServer
from tests.unit.targets.kubernetes.target_harness import OPTIONS, Cluster, memory_api, run, table
from tidegate.domain.traffic import RouteTable
from tidegate.features.batch.service import fleet
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.kubernetes.api import KINDS
from tidegate.targets.kubernetes.control_plane_files import PLAIN, files
from tidegate.targets.kubernetes.rights import RIGHTS
from tidegate.targets.kubernetes.transform_jobs import KubernetesTransforms

DEPLOY = Path(__file__).parents[4] / "deploy"


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def test_files_of_the_repository_are_up_to_date() -> None:
    for path, content in files().items():
        assert (DEPLOY / path).read_text() == content, (
            "run python -m tidegate.targets.kubernetes.control_plane_files deploy"
        )


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
def test_manifests_are_valid(version: str) -> None:
    for manifest in documents((DEPLOY / PLAIN).read_text()):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_every_right_of_the_role_has_its_reason() -> None:
    text = (DEPLOY / PLAIN).read_text()
    role = next(part for part in text.split("---\n") if "kind: Role\n" in part)
    verbs = [line for line in role.splitlines() if re.fullmatch(r"  - (get|list|create|patch|delete).*", line)]
    assert len(verbs) == sum(map(len, RIGHTS.values()))
    assert all(re.fullmatch(r"  - \w+  # \w.+", line) for line in verbs)


async def requests_of_a_job() -> list[str]:
    server = MemoryJobServer()
    server.objects["secrets", "db"] = database_secret()
    settings, options = Settings(), replace(WITH_JOBS, network_policies=True)
    jobs = KubernetesTransforms(memory_api(server), Board(), settings, ImageTable(), options, NO_STORE)
    await jobs.start(JOB, fleet(JOB), lambda replicas: DESCRIBED)
    await jobs.look(JOB)
    await jobs.prune(set())
    return server.requests


def test_rights_are_those_that_the_target_uses() -> None:
    """A life of an endpoint and one of a job, with all that the target asks of the API server on the way."""

    async def scenario() -> list[str]:
        cluster = Cluster(options=OPTIONS.__class__(image="i", allow_unsigned=True))
        await cluster.deploy(fleet_spec())
        await cluster.target.observe("fraud")
        for chore in cluster.lifecycle.chores:
            await chore.work()
        await cluster.provider.logs.tail("fraud", 10)
        cluster.restart(controller=2)
        await cluster.turn(2)
        await cluster.target.set_traffic(table("fraud", 2, {1: 10_000}))
        await cluster.target.set_traffic(RouteTable("fraud", 3))
        await cluster.target.delete_fleet(fleet_spec().id, 3)
        return [*cluster.server.requests, *await requests_of_a_job()]

    plurals = {plural: kind for kind, (_, plural) in KINDS.items()}
    used: set[tuple[str, str]] = set()
    for line in run(scenario()):
        method, path = line.split(" ")
        if found := re.fullmatch(r".*/namespaces/[^/]+/([a-z]+)(/[^/]+)?(/log|/status)?", path):
            kind = plurals[found[1] + (found[3] or "")]
            verb = {"GET": "get" if found[2] else "list", "PATCH": "patch", "POST": "create", "DELETE": "delete"}
            used.add((kind, verb[method]))
    allowed = {(kind, verb) for kind, verbs in RIGHTS.items() for verb in verbs}
    assert used <= allowed
    # Server-side apply asks for create as well where the object is not there yet.
    assert {(kind, verb) for kind, verb in allowed - used if verb != "create"} == set()
