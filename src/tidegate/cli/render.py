"""``spec render``: what a target would create for a spec, as its own documents. Nothing is created."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tidegate.cli.artifacts import look_up_models, prepare
from tidegate.cli.output import AsJson, print_note
from tidegate.cli.spec_file import SpecPath, read_spec, with_target
from tidegate.cli.target_options import TargetName, TargetsFile, choose_target
from tidegate.domain.errors import Invalid
from tidegate.domain.suggestions import suggest
from tidegate.host.late_import import load
from tidegate.ports.target import Renderer, Rendering
from tidegate.targets.kind import TargetKind


def render(
    spec_file: SpecPath,
    target: TargetName = None,
    form: Annotated[
        str | None, typer.Option("--as", metavar="FORM", help="Form of the documents, where there are several.")
    ] = None,
    targets: TargetsFile = None,
    as_json: AsJson = False,
) -> None:
    """Print what a target would create for a spec.

    Creates nothing: Kubernetes manifests, the calls of AWS's APIs, or a template. Needs a server only for a model of
    a registry.

    \b
    Examples:
      tidegate spec render fraud.yaml --target kubernetes
      tidegate spec render fraud.yaml --target sagemaker --as cloudformation
    """
    loaded = with_target(read_spec(spec_file), target)
    data = look_up_models(loaded, prepare(loaded, spec_file.parent, must_exist=False))
    wish = loaded.wish(datetime.now(UTC), data)
    name, options = choose_target(wish.target, targets)
    kind = load("tidegate.targets.registry", "KINDS")[name]
    renderer = choose_form(kind.renderers, name, form) if wish.job is None else _job_renderer(kind, name)
    rendering = renderer(wish, options)
    if as_json:
        documents = [{"name": one.name, "body": one.body} for one in rendering.documents]
        made = {"target": name, "documents": documents, "notes": list(rendering.notes)}
        print(json.dumps({**made, "refusals": list(rendering.refusals)}))
    else:
        print(to_yaml(rendering), end="")
        for note in rendering.notes:
            print_note(f"note: {note}")
    if rendering.refusals:
        raise Invalid(f"{name} would refuse this: {'; '.join(rendering.refusals)}")


def _job_renderer(kind: TargetKind, name: str) -> Renderer:
    """Raises Invalid."""
    if kind.render_job is None:
        raise Invalid(f"target {name} has no batch transform jobs: 'tidegate batch SPEC' runs it here")
    return kind.render_job


def choose_form(renderers: Mapping[str, Renderer], target: str, form: str | None) -> Renderer:
    """Raises Invalid."""
    if not renderers:
        raise Invalid(f"target {target} has nothing to print: tidegate itself runs what is deployed there")
    chosen = form or next(iter(renderers))
    if chosen not in renderers:
        raise Invalid(f"target {target} prints no {chosen!r}{suggest(chosen, renderers)}")
    return renderers[chosen]


def to_yaml(rendering: Rendering) -> str:
    """Documents of one YAML stream, each with its name in a comment."""
    yaml: Any = load("yaml", "safe_dump")
    parts = [
        f"# {one.name}\n{yaml(json.loads(json.dumps(one.body)), sort_keys=False, width=100)}"
        for one in rendering.documents
    ]
    return "---\n".join(parts)
