"""``python -m tidegate.targets.kubernetes.control_plane_files FOLDER``: writes the chart and the plain manifests.

Both come from ``control_plane.py``; a test compares the files of the repository with what this writes.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from tidegate.targets.kubernetes.chart import (
    CHART,
    HELPERS,
    IMAGE,
    SECRET,
    about_file,
    chart_manifests,
    fill,
    schema_file,
    values_file,
)
from tidegate.targets.kubernetes.control_plane import ControlPlane, control_plane
from tidegate.targets.kubernetes.endpoint_definition import endpoint_definition
from tidegate.targets.kubernetes.names import Manifest
from tidegate.targets.kubernetes.rights import RIGHTS

PLAIN = Path("kubernetes/tidegate.yaml")
NAMESPACE = "tidegate"
HEAD = """\
# Made by python -m tidegate.targets.kubernetes.control_plane_files; docs/targets-kubernetes.md says how it is used.
"""


def files() -> dict[Path, str]:
    """Path below the folder -> content."""
    return {
        CHART / "crds" / "endpoints.yaml": HEAD + text([endpoint_definition()]),
        PLAIN: HEAD + text(control_plane(ControlPlane(IMAGE, SECRET, NAMESPACE))),
        CHART / "Chart.yaml": about_file(),
        CHART / "values.yaml": values_file(),
        CHART / "values.schema.json": schema_file(),
        CHART / "templates" / "_helpers.tpl": HELPERS,
        CHART / "templates" / "tidegate.yaml": HEAD + fill(text(chart_manifests())),
    }


def text(manifests: Iterable[Manifest]) -> str:
    documents = [yaml.safe_dump(one, sort_keys=False, width=200) for one in manifests]
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
