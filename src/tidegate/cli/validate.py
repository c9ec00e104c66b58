"""``validate``: checks a spec file as ``deploy`` does, and deploys nothing."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tidegate.cli.artifacts import prepare
from tidegate.cli.evidence_notes import evidence_notes
from tidegate.cli.output import AsJson, show
from tidegate.cli.spec_file import SpecPath, read_spec
from tidegate.domain.desired import DesiredDeployment


def validate(
    spec_file: SpecPath,
    no_data: Annotated[bool, typer.Option("--no-data", help="Do not look for the model data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a spec file; nothing is deployed.

    Needs no server. Reports the first mistake with its line, missing model data and placeholders of a plan; the exit
    status is 1 then.

    \b
    Examples:
      tidegate validate fraud.yaml
      tidegate validate fraud.yaml --no-data --json
    """
    loaded = read_spec(spec_file)
    wish = loaded.wish(datetime.now(UTC), prepare(loaded, spec_file.parent, must_exist=not no_data))
    if not no_data:
        loaded.refuse_placeholders()
    document = _document(wish) | ({"notes": notes} if (notes := list(evidence_notes(wish))) else {})
    variants = ", ".join(f"{one['name']} ({one['instances']} x {one['type']})" for one in document["variants"])
    alarms = f"{len(document['alarms'])} alarms" if document["alarms"] else "no alarms"
    said = f"endpoint {wish.endpoint}, version {wish.config.name}, {variants}, {alarms}"
    show(document, as_json, "\n".join([f"{spec_file} is valid: {said}", *(f"note: {one}" for one in notes)]))


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
