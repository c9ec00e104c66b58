"""The ``capture`` section of a spec: its structure, and the domain's capture."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tidegate.domain.capture import Capture, Detector, Redaction, RedactionMethod, check_capture
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import Invalid
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.sections import Draft
from tidegate.spec.unit_texts import bytes_text
from tidegate.spec.units import bytes_of, one_of, percent
from tidegate.spec.value_types import NAME, about
from tidegate.storage.addresses import check_address

SIDES = ("input", "output")
_SIZE = r"^[0-9.]+ ?([KMGT]i?)?B$"


class RedactSpec(Struct, forbid_unknown_fields=True):
    """Rules for the values that are removed or replaced before anything is written."""

    fields: Annotated[
        dict[str, str],
        Meta(
            description="Column, member at any depth or path ($.employee.iban) -> drop, mask, hash or keep.",
            extra_json_schema={"additionalProperties": {"enum": [one.value for one in RedactionMethod]}},
        ),
    ] = {}
    detect: (
        Annotated[
            list[str],
            Meta(
                description="What is looked for in every value. Default: all.",
                extra_json_schema={"items": {"enum": [one.value for one in Detector]}},
            ),
        ]
        | None
    ) = None
    columns: Annotated[list[str], Meta(description="Columns of requests that do not name them.")] = []
    key: (
        Annotated[str, about("Name of the key of hashes, a file in the server's folder of keys.", pattern=NAME)]
        | None
    ) = None


class CaptureSection(Struct, forbid_unknown_fields=True):
    """Requests and answers are written to files, in SageMaker's form."""

    to: Annotated[str, about("Where files are delivered.", "s3://captures/payroll", "file:///srv/captures")]
    sample: Annotated[str, about("Share of the requests, in whole percent.", "20%", pattern=r"^[0-9]+%$")] = "100%"
    sides: (
        Annotated[
            list[str],
            Meta(description="input, output. Default: both.", extra_json_schema={"items": {"enum": list(SIDES)}}),
        ]
        | None
    ) = None
    csv: (
        Annotated[list[str], Meta(description="Media types that are written as CSV. Default: text/csv.")] | None
    ) = None
    json: (
        Annotated[list[str], Meta(description="Media types that are written as JSON. Default: application/json.")]
        | None
    ) = None
    kms_key: Annotated[str, about("Key with which S3 encrypts the files.")] | None = None
    keep: (
        Annotated[str, about("Size of what is kept of a variant in a folder.", "10GiB", pattern=_SIZE)] | None
    ) = None
    redact: RedactSpec | None = None


def build_capture(given: CaptureSection, draft: Draft) -> Capture:
    """Raises SpecError."""
    path = ("capture",)
    share = percent(given.sample, (*path, "sample"))
    if share != int(share):
        raise SpecError((*path, "sample"), f"{given.sample}: must be whole percent")
    sides = SIDES if given.sides is None else given.sides
    for side in sides:
        one_of(side, SIDES, (*path, "sides"))
    usual = Capture(given.to)
    capture = Capture(
        destination=given.to,
        percent=int(share),
        inputs="input" in sides,
        outputs="output" in sides,
        csv=usual.csv if given.csv is None else tuple(given.csv),
        json=usual.json if given.json is None else tuple(given.json),
        kms_key=given.kms_key or "",
        keep=usual.keep if given.keep is None else bytes_of(given.keep, (*path, "keep")),
        redaction=None if given.redact is None else _redaction(given.redact, (*path, "redact")),
    )
    try:
        check_address(given.to, "to")
        check_capture(capture)
    except Invalid as error:
        raise SpecError(path, str(error)) from None
    return capture


def _redaction(given: RedactSpec, path: KeyPath) -> Redaction:
    actions, detectors = tuple(one.value for one in RedactionMethod), tuple(one.value for one in Detector)
    return Redaction(
        fields={
            name: RedactionMethod(one_of(action, actions, (*path, "fields", name)))
            for name, action in given.fields.items()
        },
        detect=tuple(
            Detector(one_of(kind, detectors, (*path, "detect")))
            for kind in (detectors if given.detect is None else given.detect)
        ),
        columns=tuple(given.columns),
        key=given.key,
    )


def render_capture(deployed: DesiredDeployment) -> dict[str, Any] | None:
    """The inverse of ``build_capture``, without defaults; None: it is switched off, which a spec does not say."""
    capture = deployed.config.capture
    if capture is None or not capture.enabled:
        return None
    usual = Capture(capture.destination)
    made: dict[str, Any] = {"to": capture.destination}
    sides = [side for side, chosen in zip(SIDES, (capture.inputs, capture.outputs), strict=True) if chosen]
    made |= {} if capture.percent == usual.percent else {"sample": f"{capture.percent}%"}
    made |= {} if len(sides) == len(SIDES) else {"sides": sides}
    made |= {} if capture.csv == usual.csv else {"csv": list(capture.csv)}
    made |= {} if capture.json == usual.json else {"json": list(capture.json)}
    made |= {"kms_key": capture.kms_key} if capture.kms_key else {}
    made |= {} if capture.keep == usual.keep else {"keep": bytes_text(capture.keep)}
    return made if capture.redaction is None else {**made, "redact": _render_redaction(capture.redaction)}


def _render_redaction(given: Redaction) -> dict[str, Any]:
    made: dict[str, Any] = {}
    made |= {"fields": {name: action.value for name, action in given.fields.items()}} if given.fields else {}
    made |= {} if given.detect == tuple(Detector) else {"detect": [one.value for one in given.detect]}
    made |= {"columns": list(given.columns)} if given.columns else {}
    return made if given.key is None else {**made, "key": given.key}
