"""Document OCR: scans of wage statements are read in four stages, each a container of its own.

The scans are rendered for this example. The recogniser is Tesseract's English model, which is not trained here: what
the versions differ in are the stages around it.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from tidegate.features.examples.contract import SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.ocr_stages import extract, preprocess, recognise, validate
from tidegate.features.examples.scans import Scan, render_scans

SCANS = 40
FEWEST = 6
STAGES = ("preprocess", "recognise", "extract", "validate")
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "v1": {"straighten": False, "enlarge": 1, "decimals": "last"},
    "better": {"straighten": True, "enlarge": 1.5, "decimals": "last"},
    "worse": {"straighten": True, "enlarge": 1.5, "decimals": "point"},
}
ABOUT = {
    "v1": "the scan is read as it comes",
    "better": "the scan is cleaned, turned level and enlarged before it is read",
    "worse": "the same, but the comma of 1.234,56 is taken for one of thousands: it gives a thousandth of the amount",
}


def build(folder: Path, scale: float) -> TrainedExample:
    """Write the stages of three versions and measure what each reads of held-out scans."""
    scans = render_scans(max(FEWEST, round(SCANS * scale)), 11)
    (folder / "scans").mkdir()
    requests = []
    for place, scan in enumerate(scans):
        name = f"scans/{place:03}.jpg"
        (folder / name).write_bytes(scan.image)
        requests.append(
            SampleRequest("", "image/jpeg", expected=json.dumps(scan.fields), file=name),
        )
    versions, read = {}, _Reader(folder)
    for version, settings in SETTINGS.items():
        data = [f"{stage}={_write(folder, version, stage, settings)}/" for stage in STAGES]
        answers = [read(version, scan) for scan in scans]
        quality = {
            "fields right": sum(map(_count_right, answers, scans)) / (len(scans) * len(scans[0].fields)),
            "said to be valid": sum(answer["valid"] for answer in answers) / len(scans),
        }
        versions[version] = TrainedVersion(ABOUT[version], data, quality)
    rows = (
        f"{len(scans)} scans that were rendered for this example with four fonts and invented content, half of them "
        "with amounts such as 1.234,56; a field is right if it is equal to what was written"
    )
    return TrainedExample("fields right", rows, versions, requests, environment={"MODEL_HANDLER": "stage:Stage"})


def _count_right(answer: Mapping[str, Any], scan: Scan) -> int:
    """Fields of ``answer`` that are equal to what was written."""
    return sum(answer["fields"].get(name) == value for name, value in scan.fields.items())


def _write(folder: Path, version: str, stage: str, settings: Mapping[str, object]) -> str:
    place = folder / version / stage
    (place / "code").mkdir(parents=True)
    source = files("tidegate.features.examples.ocr_stages").joinpath(f"{stage}.py").read_text()
    (place / "code" / "stage.py").write_text(source)
    (place / "stage.json").write_text(json.dumps(dict(settings)))
    return f"{version}/{stage}"


class _Reader:
    """Runs the stages that were written. What is equal in two versions is recognised once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._texts: dict[bytes, str] = {}

    def __call__(self, version: str, scan: Scan) -> dict[str, Any]:
        place = self._folder / version
        picture, _ = preprocess.Stage(str(place / "preprocess")).predict(scan.image)
        if picture not in self._texts:
            self._texts[picture], _ = recognise.Stage().predict(picture)
        fields, _ = extract.Stage(str(place / "extract")).predict(self._texts[picture])
        found: dict[str, Any] = json.loads(validate.Stage().predict(fields)[0])
        return found
