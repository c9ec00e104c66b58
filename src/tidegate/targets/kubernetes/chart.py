"""The Helm chart of the platform: the plain manifests with the values of whoever installs it. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tidegate.targets.kubernetes.control_plane import (
    TARGETS_FILE,
    WORKER_ACCOUNT,
    ControlPlane,
    control_plane,
    rules,
)
from tidegate.targets.kubernetes.names import Manifest
from tidegate.targets.kubernetes.options import KubernetesOptions
from tidegate.targets.kubernetes.rights import OPTIONAL_RIGHTS

CHART = Path("helm/tidegate")
OF_THE_CHART = ("image", "namespace", "kubeconfig", "context")
"""Options that the chart sets itself, or that a controller in the cluster has no use for."""


@dataclass(frozen=True)
class Value:
    """``note``: for the person who sets it."""

    default: object
    note: str
    schema: dict[str, object]


_TEXT: dict[str, object] = {"type": "string", "minLength": 1}
_QUANTITY: dict[str, object] = {"type": ["string", "number"]}
_TEXTS: dict[str, object] = {"type": "object", "additionalProperties": {"type": "string"}}
"""Not numbers: Helm writes those of a million and more with an exponent."""
IMAGE, SECRET = "registry.example/tidegate:latest", "tidegate"
VALUES = {
    "image": Value(IMAGE, "Of controller, gateways and workers; deploy/Containerfile builds it.", _TEXT),
    "secret": Value(
        SECRET,
        "Secret with database-url (postgresql+psycopg://...) and access-keys (ID:SECRET), made beforehand.",
        _TEXT,
    ),
    "controllers": Value(
        2,
        "One leads, by a lease in the database; the others take over.",
        {"type": "integer", "minimum": 1},
    ),
    "cpu": Value("250m", "What a controller requests.", _QUANTITY),
    "memory": Value("1Gi", "What a controller requests, and its limit.", _QUANTITY),
    "options": Value(
        {},
        "The target's options, by the names of docs/targets-kubernetes.md. The controllers get the\n"
        "volumes, too, the entries of environment_secret, image_pull_policy and image_pull_secrets.",
        {"$ref": "#/definitions/KubernetesOptions"},
    ),
    "targets": Value(
        {},
        "Options of further targets, by their names: local, sagemaker, ecs, lambda.",
        {
            "type": "object",
            "properties": {"default": False, "kubernetes": False},
            "additionalProperties": {"type": "object"},
        },
    ),
    "environment": Value(
        {},
        "Further settings of the controllers (TIDEGATE_...). What is secret belongs in controllerSecret.",
        {**_TEXTS, "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"}},
    ),
    "controllerSecret": Value(
        "",
        "Secret whose entries are variables of the controllers alone (TIDEGATE_OIDC_SECRET and so on), made\n"
        "beforehand. Those of the option environment_secret are also given to workers, whose models may read them.",
        {"type": "string"},
    ),
    "cpuLimit": Value("", "Processors that a controller may use at most; empty: as many as are idle.", _QUANTITY),
    "ephemeralStorage": Value(
        "",
        "What a controller may write on its node, requested and limited; empty: the cluster's default.",
        _QUANTITY,
    ),
    "priorityClass": Value(
        "", "Of the controllers' pods; that of workers and gateways is an option.", {"type": "string"}
    ),
    "labels": Value({}, "Further labels of the controllers' pods; those of others are an option.", _TEXTS),
    "nodeSelector": Value({}, "Of the controllers' pods; those of workers are options.", _TEXTS),
    "tolerations": Value([], "Of the controllers' pods.", {"type": "array", "items": {"type": "object"}}),
    "serviceAccountAnnotations": Value(
        {}, "Such as eks.amazonaws.com/role-arn, for controllers that reach S3 by it.", _TEXTS
    ),
    "workerServiceAccountAnnotations": Value(
        {},
        "The same for workers and jobs, whose model data then needs no keys in environment_secret.",
        _TEXTS,
    ),
}


def values_file() -> str:
    parts = []
    for name, value in VALUES.items():
        notes = "".join(f"# {line}\n" for line in value.note.splitlines())
        parts.append(notes + yaml.safe_dump({name: value.default}, sort_keys=False))
    return "".join(parts)


def schema_file() -> str:
    """Draft 7, which every Helm 3 and 4 reads. An option that does not exist is an error of the installation."""
    _, components = msgspec.json.schema_components([KubernetesOptions], ref_template="#/definitions/{name}")
    for component in components.values():
        component.pop("description", None)
        component.pop("title", None)
        component["additionalProperties"] = False
    options = components["KubernetesOptions"]
    options["properties"] = {k: v for k, v in options["properties"].items() if k not in OF_THE_CHART}
    options.pop("required", None)
    properties = {name: value.schema for name, value in VALUES.items()}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {**properties, "global": {"type": "object"}},
        "required": list(VALUES),
        "additionalProperties": False,
        "definitions": components,
    }
    return json.dumps(schema, indent=2) + "\n"


def about_file() -> str:
    about = {
        "apiVersion": "v2",
        "name": "tidegate",
        "description": "Deploy models and shift live traffic to their next versions, on Kubernetes.",
        "type": "application",
        "version": "0.0.0",  # a release packs it with its own (RELEASING.md)
    }
    return yaml.safe_dump(about, sort_keys=False)


HELPERS = """\
{{- define "tidegate.targets" -}}
{{- $mine := dict "image" .Values.image "namespace" .Release.Namespace -}}
{{- $mine = merge $mine (dict "service_account" (.Values.options.service_account | default "WORKER_ACCOUNT")) -}}
{{- $mine = merge $mine (.Values.options | default dict) -}}
{{- toYaml (merge (dict "default" "kubernetes" "kubernetes" $mine) (.Values.targets | default dict)) -}}
{{- end -}}
""".replace("WORKER_ACCOUNT", WORKER_ACCOUNT)


def _rules(rights: Mapping[str, Mapping[str, str]]) -> str:
    """Render the rules of a role as a part of the template: each verb with its reason."""
    lines = []
    for rule, reasons in zip(rules(rights), rights.values(), strict=True):
        for key in ("apiGroups", "resources"):
            lines += [f"- {key}:" if key == "apiGroups" else f"  {key}:", f"  - {rule[key][0]}"]
        lines += ["  verbs:", *(f"  - {verb}  # {reason}" for verb, reason in reasons.items())]
    return "".join(f"@{line}\n" for line in lines)


# Parts of the template that depend on values. In the manifests a part is a key, or an item of a list, with its name;
# @ stands for the indentation of that line.
PARTS = {
    "SERVICE_ACCOUNT": """\
{{- with .Values.serviceAccountAnnotations }}
@annotations:
@  {{- toYaml . | nindent @+2 }}
{{- end }}
""",
    "WORKER_ACCOUNT": """\
{{- with .Values.workerServiceAccountAnnotations }}
@annotations:
@  {{- toYaml . | nindent @+2 }}
{{- end }}
""",
    "RIGHTS": "".join(
        f"{{{{- if .Values.options.{option} }}}}\n{_rules(rights)}{{{{- end }}}}\n"
        for option, rights in OPTIONAL_RIGHTS.items()
    ),
    "LABELS": """\
{{- with .Values.labels }}
@  {{- toYaml . | nindent @ }}
{{- end }}
""",
    "LIMITS": """\
{{- with .Values.cpuLimit }}
@cpu: {{ . | quote }}
{{- end }}
{{- with .Values.ephemeralStorage }}
@ephemeral-storage: {{ . | quote }}
{{- end }}
""",
    "REQUESTS": """\
{{- with .Values.ephemeralStorage }}
@ephemeral-storage: {{ . | quote }}
{{- end }}
""",
    "TARGETS": f"""\
@{TARGETS_FILE}: |
@  {{{{- include "tidegate.targets" . | nindent @+2 }}}}
""",
    "DIGEST": """\
@annotations:
@  tidegate.io/targets: {{ include "tidegate.targets" . | sha256sum }}
""",
    "POD": """\
{{- with .Values.priorityClass }}
@priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.options.image_pull_secrets }}
@imagePullSecrets:
{{- range . }}
@- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
@nodeSelector:
@  {{- toYaml . | nindent @+2 }}
{{- end }}
{{- with .Values.tolerations }}
@tolerations:
@  {{- toYaml . | nindent @ }}
{{- end }}
""",
    "CONTAINER": """\
{{- with .Values.options.image_pull_policy }}
@imagePullPolicy: {{ . }}
{{- end }}
{{- if or .Values.options.environment_secret .Values.controllerSecret }}
@envFrom:
{{- with .Values.options.environment_secret }}
@- secretRef:
@    name: {{ . | quote }}
{{- end }}
{{- with .Values.controllerSecret }}
@- secretRef:
@    name: {{ . | quote }}
{{- end }}
{{- end }}
""",
    "ENVIRONMENT": """\
{{- if and .Values.options.volumes (not (hasKey .Values.environment "TIDEGATE_FILE_ROOTS")) }}
{{- $roots := list }}
{{- range .Values.options.volumes }}{{ $roots = append $roots .path }}{{ end }}
@- name: TIDEGATE_FILE_ROOTS
@  value: {{ join ":" $roots | quote }}
{{- end }}
{{- range $name, $value := .Values.environment }}
@- name: {{ $name }}
@  value: {{ $value | quote }}
{{- end }}
""",
    "MOUNTS": """\
{{- range .Values.options.volumes }}
@- name: {{ .name | quote }}
@  mountPath: {{ .path | quote }}
@  readOnly: true
{{- end }}
""",
    "VOLUMES": """\
{{- range .Values.options.volumes }}
@- name: {{ .name | quote }}
{{- if .claim }}
@  persistentVolumeClaim:
@    claimName: {{ .claim | quote }}
@    readOnly: true
{{- else }}
@  hostPath:
@    path: {{ .host_path | quote }}
{{- end }}
{{- end }}
""",
}
_COUNT = 987_654_321
"""Stands for the number of controllers, which must not be in quotes."""
_LINE = re.compile(r"^( *)(?:- )?PART_([A-Z_]+)(?:: null)?\n", re.MULTILINE)


def chart_manifests() -> list[Manifest]:
    """Return the manifests with placeholders, which ``fill`` replaces in their text."""
    values = [f"{{{{ .Values.{name} }}}}" for name in ("image", "secret", "cpu", "memory")]
    image, secret, cpu, memory = values
    installation = '{{ .Values.options.installation | default "tidegate" }}'
    budget = '{{ if .Capabilities.APIVersions.Has "policy/v1" }}policy/v1{{ else }}policy/v1beta1{{ end }}'
    given = ControlPlane(image, secret, "{{ .Release.Namespace }}", _COUNT, cpu, memory, installation, budget)
    manifests = control_plane(given)
    found = {manifest["kind"]: manifest for manifest in manifests[:-1]}
    found["ServiceAccount"]["metadata"]["PART_SERVICE_ACCOUNT"] = None
    manifests[-1]["metadata"]["PART_WORKER_ACCOUNT"] = None
    found["Role"]["rules"].append("PART_RIGHTS")
    found["ConfigMap"]["data"] = {"PART_TARGETS": None}
    template = found["Deployment"]["spec"]["template"]
    template["metadata"]["PART_DIGEST"] = None
    template["metadata"]["labels"] = {**template["metadata"]["labels"], "PART_LABELS": None}
    pod: dict[str, Any] = template["spec"]
    pod["PART_POD"] = None
    container = pod["containers"][0]
    container["PART_CONTAINER"] = None
    container["resources"]["requests"]["PART_REQUESTS"] = None
    container["resources"]["limits"]["PART_LIMITS"] = None
    container["env"].append("PART_ENVIRONMENT")
    container["volumeMounts"].append("PART_MOUNTS")
    pod["volumes"].append("PART_VOLUMES")
    return manifests


def fill(text: str) -> str:
    """The template: ``text`` is that of ``chart_manifests``."""

    def part(found: re.Match[str]) -> str:
        indent = len(found[1])
        body = re.sub(
            r"nindent @(?:\+(\d+))?", lambda one: f"nindent {indent + int(one[1] or 0)}", PARTS[found[2]]
        )
        return body.replace("@", found[1])

    return _LINE.sub(part, text).replace(str(_COUNT), "{{ .Values.controllers }}")
