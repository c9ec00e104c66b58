"""The Helm chart, rendered by Helm itself: as it is, with every value, and with values that are wrong."""

import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tidegate.settings import Settings
from tidegate.targets.kubernetes.api import KINDS as API_KINDS
from tidegate.targets.kubernetes.chart import CHART, OF_THE_CHART, PARTS, VALUES
from tidegate.targets.kubernetes.control_plane import TARGETS_FILE
from tidegate.targets.kubernetes.control_plane_files import PLAIN
from tidegate.targets.kubernetes.options import KubernetesOptions, read_options
from tidegate.targets.kubernetes.rights import needed_rights
from tidegate.targets.options import read_targets
from tidegate.targets.registry import KINDS

ROOT = Path(__file__).parents[4]
DEPLOY = ROOT / "deploy"
HELM = ROOT / ".clients" / "helm" / "bin" / "helm"
needs_helm = pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed: make .clients/helm/.done")

OPTIONS = """
installation: blue
service_account: models
priority_class: serving
model_user: 1000
labels: {team: risk}
run_as: 1000650000
image_pull_policy: Always
image_pull_secrets: [registry]
environment_secret: s3
model_store: s3://models/tidegate
spot: true
volumes:
  - {name: data, path: /data, claim: models}
  - {name: out, path: "/srv/o ut", host_path: /srv/out, writable: true}
jobs: {database_secret: jobs-database, cpu: "1"}
gateway: {replicas: 3, service_type: LoadBalancer, hosts: [models.example]}
http_route: {gateway: public, hostnames: [models.example]}
scheduling_patience: 90.5
pull_patience: 1000000
allow_unsigned: true
endpoint_resources: true
controller_cidr: 10.0.0.0/8
network_policies: false
instance_types:
  default: {cpu: 500m, memory: 1Gi}
  ml.g5.xlarge:
    cpu: "3"
    memory: 14Gi
    cpu_limit: "4"
    ephemeral_storage: 20Gi
    gpus: 1
    node_selector: {pool: gpu}
    tolerations: [{key: gpu, operator: Equal, value: "yes", effect: NoSchedule}]
autoscaling: {fraud: {kind: hpa, least: 1, most: 3}}
"""
VALUES_FILE = """
image: registry.example/tidegate:7
controllers: 3
controllerSecret: login
cpu: 1
targets: {local: {}}
environment: {TIDEGATE_FIDELITY: aws, TIDEGATE_MAX_BODY: "6291456"}
cpuLimit: 2
ephemeralStorage: 1Gi
priorityClass: platform
labels: {team: risk}
workerServiceAccountAnnotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::123456789012:role/data"}
nodeSelector: {pool: control}
tolerations: [{key: control, operator: Exists}]
serviceAccountAnnotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::123456789012:role/models"}
"""


def render(tmp_path: Path, values: dict[str, Any], *words: str) -> list[dict[str, Any]]:
    """Raises AssertionError with what Helm says."""
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    given = [
        "tide",
        str(DEPLOY / CHART),
        "--namespace",
        "models",
        "--values",
        str(tmp_path / "values.yaml"),
        *words,
    ]
    return [one for one in yaml.safe_load_all(run_helm(tmp_path, "template", *given)) if one]


def run_helm(folder: Path, *words: str) -> str:
    environment = {**os.environ, "HOME": str(folder), "KUBECONFIG": str(folder / "none")}
    done = subprocess.run([HELM, *words], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(one for one in found if one["kind"] == kind)


def whole_values() -> dict[str, Any]:
    return {**yaml.safe_load(VALUES_FILE), "options": yaml.safe_load(OPTIONS)}


def test_every_part_is_in_the_template_once() -> None:
    template = (DEPLOY / CHART / "templates" / "tidegate.yaml").read_text()
    assert "PART_" not in template and "@" not in template
    assert len(PARTS) == 13
    for part in PARTS.values():
        lines = [re.sub(r" *\|? *nindent.*", "", line.replace("@", "")).strip() for line in part.splitlines()]
        assert all(line in template for line in lines), lines


def test_values_file_has_the_defaults() -> None:
    values = yaml.safe_load((DEPLOY / CHART / "values.yaml").read_text())
    assert values == {name: value.default for name, value in VALUES.items()}


@needs_helm
def test_chart_without_values_is_the_plain_manifests(tmp_path: Path) -> None:
    found = render(tmp_path, {}, "--namespace", "tidegate")
    annotations = of_kind(found, "Deployment")["spec"]["template"]["metadata"].pop("annotations")
    assert list(annotations) == ["tidegate.io/targets"]
    plain = [one for one in yaml.safe_load_all((DEPLOY / PLAIN).read_text()) if one]
    for documents in (found, plain):
        data = of_kind(documents, "ConfigMap")["data"]
        data[TARGETS_FILE] = yaml.safe_load(data[TARGETS_FILE])
    assert sorted(found, key=lambda one: str(one["kind"])) == sorted(plain, key=lambda one: str(one["kind"]))


@needs_helm
def test_lint_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(whole_values()))
    said = run_helm(tmp_path, "lint", "--strict", str(DEPLOY / CHART), "--values", str(tmp_path / "values.yaml"))
    assert "0 chart(s) failed" in said


@needs_helm
def test_every_option_reaches_the_controller_as_it_was_given(tmp_path: Path) -> None:
    wanted = read_options(
        {"image": "registry.example/tidegate:7", "namespace": "models", **yaml.safe_load(OPTIONS)}
    )
    untouched = KubernetesOptions("i")
    same = [one.name for one in fields(wanted) if getattr(wanted, one.name) == getattr(untouched, one.name)]
    assert same == ["kubeconfig", "context"], "an option that no test sets"
    text = of_kind(render(tmp_path, whole_values()), "ConfigMap")["data"][TARGETS_FILE]
    (tmp_path / TARGETS_FILE).write_text(text)
    targets = read_targets(tmp_path / TARGETS_FILE, KINDS)
    assert read_options(targets.options["kubernetes"]) == wanted
    assert (targets.default, sorted(targets.options)) == ("kubernetes", ["kubernetes", "local"])


@needs_helm
@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_controllers_get_what_they_need_of_the_values(tmp_path: Path, version: str) -> None:
    found = render(tmp_path, whole_values())
    for manifest in found:
        kubernetes_validate.validate(manifest, version, strict=True)
    assert (
        of_kind(found, "ServiceAccount")["metadata"]["annotations"] == whole_values()["serviceAccountAnnotations"]
    )
    deployment = of_kind(found, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    container = pod["containers"][0]
    assert deployment["replicas"] == 3 and container["resources"]["requests"]["cpu"] == "1"
    assert container["imagePullPolicy"] == "Always" and pod["imagePullSecrets"] == [{"name": "registry"}]
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}, {"secretRef": {"name": "login"}}]
    assert pod["nodeSelector"] == {"pool": "control"}
    assert pod["priorityClassName"] == "platform"
    assert container["resources"]["limits"] == {"memory": "1Gi", "cpu": "2", "ephemeral-storage": "1Gi"}
    assert container["resources"]["requests"]["ephemeral-storage"] == "1Gi"
    assert deployment["template"]["metadata"]["labels"]["team"] == "risk"
    assert "team" not in deployment["selector"]["matchLabels"]
    assert pod["tolerations"] == [{"key": "control", "operator": "Exists"}]
    mounted = {one["name"]: (one["mountPath"], one.get("readOnly")) for one in container["volumeMounts"]}
    assert mounted["data"] == ("/data", True) and mounted["out"] == ("/srv/o ut", True)
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert volumes["out"]["hostPath"] == {"path": "/srv/out"}
    variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    settings = Settings.from_environment(variables)
    assert [str(root) for root in settings.file_roots] == ["/data", "/srv/o ut"]
    assert (settings.fidelity, settings.max_body, settings.standby) == ("aws", 6291456, True)


@needs_helm
def test_controllers_are_replaced_one_at_a_time_and_reached_by_the_label_of_the_leader(tmp_path: Path) -> None:
    found = render(tmp_path, whole_values())
    deployment = of_kind(found, "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert deployment["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"
    selector = of_kind(found, "Service")["spec"]["selector"]
    assert selector["tidegate.io/leader"] == "blue"  # as the option installation says
    assert "tidegate.io/leader" not in deployment["template"]["metadata"]["labels"]
    budget = of_kind(found, "PodDisruptionBudget")
    assert (budget["apiVersion"], budget["spec"]["maxUnavailable"]) == ("policy/v1", 1)
    assert (
        budget["spec"]["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
    )


@needs_helm
def test_workers_have_an_account_of_their_own_with_the_annotations_that_are_given(tmp_path: Path) -> None:
    def account(values: dict[str, Any]) -> tuple[dict[str, Any], str]:
        found = render(tmp_path, values)
        accounts = {one["metadata"]["name"]: one for one in found if one["kind"] == "ServiceAccount"}
        options = yaml.safe_load(of_kind(found, "ConfigMap")["data"][TARGETS_FILE])["kubernetes"]
        return accounts["tidegate-worker"], options["service_account"]

    found, used = account({})
    assert used == "tidegate-worker" and "annotations" not in found["metadata"]
    assert found["automountServiceAccountToken"] is False
    found, used = account(whole_values())
    assert found["metadata"]["annotations"] == whole_values()["workerServiceAccountAnnotations"]
    assert used == "models"


@needs_helm
@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, set()),
        (
            {"autoscaling": {"fraud": {"kind": "hpa", "least": 1, "most": 3}}},
            {"horizontalpodautoscalers", "scaledobjects"},
        ),
        ({"http_route": {"gateway": "public"}}, {"httproutes"}),
    ],
)
def test_rights_that_options_need_are_in_the_role(
    tmp_path: Path, options: dict[str, Any], kinds: set[str]
) -> None:
    rules = of_kind(render(tmp_path, {"options": options}), "Role")["rules"]
    optional = {"horizontalpodautoscalers", "scaledobjects", "httproutes"}
    assert {rule["resources"][0] for rule in rules} & optional == kinds
    given = read_options({"image": "i", **options})
    granted = {(verb, rule["resources"][0]) for rule in rules for verb in rule["verbs"]}
    assert {(verb, API_KINDS[kind][1]) for verb, kind in needed_rights(given)} <= granted


@needs_helm
@pytest.mark.parametrize("shared", ["", "s3"])
@pytest.mark.parametrize("own", ["", "login"])
def test_secret_of_the_controllers_reaches_nobody_else(tmp_path: Path, shared: str, own: str) -> None:
    """Whatever pods the controller makes, it makes by its options, which do not name it."""
    found = render(
        tmp_path, {"controllerSecret": own, "options": {"environment_secret": shared} if shared else {}}
    )
    container = of_kind(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    wanted = [{"secretRef": {"name": name}} for name in (shared, own) if name]
    assert container.get("envFrom", []) == wanted
    assert "login" not in of_kind(found, "ConfigMap")["data"][TARGETS_FILE]


def test_nothing_tells_to_give_secrets_of_the_controllers_to_all_pods() -> None:
    page = (ROOT / "docs" / "targets-kubernetes.md").read_text()
    for text in ((DEPLOY / CHART / "values.yaml").read_text(), page):
        assert "secret belongs in environment_secret" not in text.replace("`", "")
        assert "secret belongs in controllerSecret" in text.replace("`", "")


@needs_helm
def test_own_file_roots_replace_those_of_the_volumes(tmp_path: Path) -> None:
    values = whole_values()
    values["environment"]["TIDEGATE_FILE_ROOTS"] = "/data/fraud"
    container = of_kind(render(tmp_path, values), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    roots = [one["value"] for one in container["env"] if one["name"] == "TIDEGATE_FILE_ROOTS"]
    assert roots == ["/data/fraud"]


@needs_helm
def test_other_options_replace_the_controllers_and_the_same_do_not(tmp_path: Path) -> None:
    """They read the file when they start."""

    def digest(values: dict[str, Any]) -> object:
        template = of_kind(render(tmp_path, values), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["tidegate.io/targets"]

    first = digest({"options": {"spot": True, "model_store": "s3://a"}})
    assert digest({"options": {"model_store": "s3://a", "spot": True}}) == first
    assert digest({"options": {"model_store": "s3://b", "spot": True}}) != first


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an option that does not exist": ({"options": {"volums": []}}, "volums"),
    "an option that the chart sets": ({"options": {"namespace": "elsewhere"}}, "namespace"),
    "a key of an option": ({"options": {"jobs": {"database_secret": "a", "databse": "b"}}}, "databse"),
    "a kind": ({"options": {"gateway": {"service_type": "Loadbalancer"}}}, "service_type"),
    "no options": ({"options": None}, "options"),
    "a number where text belongs": ({"environment": {"TIDEGATE_MAX_BODY": 6291456}}, "TIDEGATE_MAX_BODY"),
    "a name that is no variable": ({"environment": {"max-body": "1"}}, "max-body"),
    "the target's own options among others": ({"targets": {"kubernetes": {"spot": True}}}, "kubernetes"),
    "a secret that is no name": ({"controllerSecret": {"name": "login"}}, "controllerSecret"),
    "no controllers": ({"controllers": 0}, "controllers"),
    "a value that does not exist": ({"replicas": 2}, "replicas"),
}


@needs_helm
@pytest.mark.parametrize("what", WRONG)
def test_wrong_values_are_refused_and_named(tmp_path: Path, what: str) -> None:
    values, named = WRONG[what]
    with pytest.raises(AssertionError, match=named):
        render(tmp_path, values)


def test_options_of_the_chart_exist() -> None:
    assert {one.name for one in fields(KubernetesOptions)} >= set(OF_THE_CHART)


@needs_helm
def test_values_of_the_documentation_are_accepted(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "targets-kubernetes.md").read_text()
    blocks = re.findall(r"^```yaml\n(# values\.yaml.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    text = of_kind(render(tmp_path, yaml.safe_load(blocks[0])), "ConfigMap")["data"][TARGETS_FILE]
    options = read_options(yaml.safe_load(text)["kubernetes"])
    assert options.model_store == "s3://models/tidegate" and options.resources("ml.g5.xlarge").gpus == 1
