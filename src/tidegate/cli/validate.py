"""``spec validate``: checks a spec file as ``deploy`` does, and deploys nothing."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tidegate.cli.artifacts import prepare
from tidegate.cli.evidence_notes import evidence_notes
from tidegate.cli.output import AsJson, print_note, show
from tidegate.cli.spec_file import SpecPath, read_spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.host.features import features
from tidegate.host.late_import import load
from tidegate.rollout.desired_plan import make_plan
from tidegate.settings import Settings
from tidegate.spec import LoadedSpec, artifacts
from tidegate.spec.problem import format_path
from tidegate.spec.value_types import AUTO


def validate(
    spec_file: SpecPath,
    no_data: Annotated[bool, typer.Option("--no-data", help="Do not look for the model data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a spec file; nothing is deployed.

    Needs no server. Reports every mistake with its line, images that no runtime serves, rollouts that cannot be
    planned, missing model data and placeholders of a plan; the exit status is 1 then.

    \b
    Examples:
      tidegate spec validate fraud.yaml
      tidegate spec validate fraud.yaml --no-data --json
    """
    loaded, now = read_spec(spec_file), datetime.now(UTC)
    data = prepare(loaded, spec_file.parent, must_exist=False)
    if not (problems := loaded.problems(now, data)):
        wish = loaded.wish(now, data)
        problems = [str(one) for one in _find_flaws(loaded, wish, None if no_data else spec_file.parent)]
    if problems:
        _refuse(problems, as_json)
    document = _document(wish) | ({"notes": notes} if (notes := list(evidence_notes(wish))) else {})
    variants = ", ".join(f"{one['name']} ({one['instances']} x {one['type']})" for one in document["variants"])
    alarms = f"{len(document['alarms'])} alarms" if document["alarms"] else "no alarms"
    said = f"endpoint {wish.endpoint}, version {wish.config.name}, {variants}, {alarms}"
    show(document, as_json, "\n".join([f"{spec_file} is valid: {said}", *(f"note: {one}" for one in notes)]))


def _find_flaws(loaded: LoadedSpec, wish: DesiredDeployment, folder: Path | None) -> Iterator[Invalid]:
    """Yield the reasons for which a server would refuse a spec that can be read. ``folder`` is that of the model
    data. It is None if the data is not checked, since the server is elsewhere and has its own table of images."""
    if folder is not None:
        yield from _attempt(lambda: prepare(loaded, folder, must_exist=True))
        yield from _attempt(loaded.refuse_placeholders)
        if wish.target in (None, "local"):
            yield from _find_unknown_images(loaded)
    for problem in _attempt(lambda: make_plan(wish)):
        yield Invalid(f"{loaded.source}:{loaded.line(('rollout',))}: rollout: {problem}")
        return
    yield from _attempt(lambda: check_assurance(wish))


def check_assurance(wish: DesiredDeployment) -> None:
    """Check that the traffic of the spec's workload suffices for its assurance. Raises Invalid."""
    if (evidence := wish.deployment.evidence) is not None and evidence.assure is not None:
        for _, check in features().hooks("check_assurance"):
            check(wish)


def _attempt(work: Callable[[], object]) -> Iterator[Invalid]:
    try:
        work()
    except Invalid as error:
        yield error


def _find_unknown_images(loaded: LoadedSpec) -> Iterator[Invalid]:
    table = load("tidegate.targets.containers", "image_table")(Settings.from_environment(os.environ))
    resolve = load("tidegate.serving.contract.images", "resolve")
    for place, model in artifacts(loaded.data):
        if (image := model.get("image", AUTO)) == AUTO:
            continue
        for problem in _attempt(partial(resolve, image, table)):
            where, path = (*place, "image"), format_path((*place, "image"))
            yield Invalid(f"{loaded.source}:{loaded.line(where)}: {path}: {problem}")


def _refuse(problems: list[str], as_json: bool) -> NoReturn:
    """Print each problem on a line of its own, and raise the last one."""
    if as_json:
        print(json.dumps({"valid": False, "problems": problems}))
    *others, last = problems
    for one in others:
        print_note(f"tidegate: {one}")
    raise Invalid(last)


def _document(wish: DesiredDeployment) -> dict[str, Any]:
    return {
        "valid": True,
        "endpoint": wish.endpoint,
        "config": wish.config.name,
        "variants": [
            {
                "name": one.name,
                "instances": one.instance_count,
                "type": "serverless" if one.serverless is not None else one.instance_type,
            }
            for one in wish.config.variants
        ],
        "alarms": [alarm.name for alarm in wish.alarms],
    }
