"""``python -m tidegate.targets.kubernetes.control_plane_files FOLDER``: writes the chart and the plain manifests.

Both come from ``control_plane.py``; a test compares the files of the repository with what this writes.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from tidegate import __version__
from tidegate.targets.kubernetes.control_plane import ControlPlane, control_plane
from tidegate.targets.kubernetes.rights import RIGHTS

PLAIN = Path("kubernetes/tidegate.yaml")
CHART = Path("helm/tidegate")
IMAGE, SECRET, NAMESPACE = "registry.example/tidegate:latest", "tidegate", "tidegate"
VALUES: dict[str, Any] = {
    "image": IMAGE,
    "secret": SECRET,
    "controllers": 2,
    "cpu": "250m",
    "memory": "1Gi",
}
_COUNT = 987_654_321
"""Stands for the number of controllers in the chart's text, where a number must not be in quotes."""
HEAD = """\
# Made by python -m tidegate.targets.kubernetes.control_plane_files; docs/targets.md says how to install it.
"""


def files() -> dict[Path, str]:
    """Path below the folder -> content."""
    plain = ControlPlane(IMAGE, SECRET, NAMESPACE, VALUES["controllers"], VALUES["cpu"], VALUES["memory"])
    chart = ControlPlane(
        *("{{ .Values.image }}", "{{ .Values.secret }}", "{{ .Release.Namespace }}", _COUNT),
        *("{{ .Values.cpu }}", "{{ .Values.memory }}"),
    )
    about = {
        "apiVersion": "v2",
        "name": "tidegate",
        "description": "Deploy models and shift live traffic to their next versions, on Kubernetes.",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
    }
    values = "".join(f"# {VALUE_NOTES[name]}\n{name}: {value}\n" for name, value in VALUES.items())
    template = text(chart).replace(str(_COUNT), "{{ .Values.controllers }}")
    return {
        PLAIN: HEAD + text(plain),
        CHART / "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        CHART / "values.yaml": values,
        CHART / "templates" / "tidegate.yaml": HEAD + template,
    }


VALUE_NOTES = {
    "image": "Of controller, gateways and workers; deploy/Containerfile builds it.",
    "secret": "Secret with database-url (postgresql+psycopg://...) and access-keys (ID:SECRET), made beforehand.",
    "controllers": "One leads, by a lease in the database; the others take over.",
    "cpu": "What a controller requests.",
    "memory": "What a controller requests, and its limit.",
}


def text(given: ControlPlane) -> str:
    documents = [yaml.safe_dump(one, sort_keys=False, width=200) for one in control_plane(given)]
    return "---\n".join(_with_reasons(one) if "kind: Role\n" in one else one for one in documents)


def _with_reasons(role: str) -> str:
    """The Role with what each verb is for beside it."""
    reasons = iter([reason for verbs in RIGHTS.values() for reason in verbs.values()])
    lines, in_verbs = [], False
    for line in role.splitlines():
        if line.strip() == "verbs:":
            in_verbs = True
        elif in_verbs and line.startswith("  - ") and ":" not in line:
            line = f"{line}  # {next(reasons)}"
        else:
            in_verbs = False
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m tidegate.targets.kubernetes.control_plane_files FOLDER", file=sys.stderr)
        return 2
    for path, content in files().items():
        target = Path(arguments[0]) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
