"""The stages of the pipeline that reads scans."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tidegate.features.examples.ocr_stages import extract, preprocess, validate
from tidegate.features.examples.scans import render_scans

LINES = "Employer. Harbor Tools Inc\nTax 10: 32-9554485\n\nGross wages: {}\nTax withheld: 7,255,32\nYear: 2023\n"


def stage(folder: Path, **settings: object) -> str:
    given = {"straighten": True, "enlarge": 1, "decimals": "last", **settings}
    (folder / "stage.json").write_text(json.dumps(given))
    return str(folder)


@pytest.mark.parametrize(
    ("written", "last", "point"),
    [
        ("50,828.91", 50828.91, 50828.91),
        ("50.828,91", 50828.91, 50.83),
        ("50828", 50828.0, 50828.0),
        ("n/a", None, None),
    ],
)
def test_both_decimal_separators_are_read_but_by_the_version_that_is_worse(
    written: str, last: float | None, point: float | None, tmp_path: Path
) -> None:
    for decimals, wanted in (("last", last), ("point", point)):
        made, kind = extract.Stage(stage(tmp_path, decimals=decimals)).predict(LINES.format(written))
        assert (json.loads(made)["wages"], kind) == (wanted, "application/json")


def test_labels_are_found_where_single_letters_are_misread_and_what_is_missing_is_null(tmp_path: Path) -> None:
    fields = json.loads(extract.Stage(stage(tmp_path)).predict(LINES.format("1.0"))[0])
    assert fields["employer"] == "Harbor Tools Inc" and fields["tax_id"] == "32-9554485"
    assert fields["tax"] == 7255.32 and fields["employee"] is None and fields["social"] is None


def test_fields_that_contradict_one_another_are_told() -> None:
    fields = {"employer": "A", "tax_id": "12-1234567", "wages": 10_000.0, "tax": 900.0, "social": 620.0}
    assert json.loads(validate.Stage().predict(json.dumps(fields))[0])["valid"]
    for name, value in (
        ("social", 610.0),
        ("tax", 20_000.0),
        ("tax_id", "1-2"),
        ("employer", None),
        ("wages", None),
    ):
        found = json.loads(validate.Stage().predict(json.dumps({**fields, name: value}))[0])
        assert not found["valid"] and found["problems"]


@pytest.mark.parametrize("body", [b"", b"1,2,3", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + b"\0" * 50])
def test_a_body_that_is_no_scan_is_the_client_s_fault(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(preprocess.BadScan, match="no PNG or JPEG") as told:
        preprocess.Stage(stage(tmp_path)).predict(body)
    assert told.value.status_code == 400


def test_a_scan_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    made = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(made, "PNG")
    with pytest.raises(preprocess.BadScan, match="9000 x 9000 pixels"):
        preprocess.Stage(stage(tmp_path)).predict(made.getvalue())


def test_a_turned_page_is_turned_back(tmp_path: Path) -> None:
    page = np.full((300, 400), 255, np.uint8)
    page[40::40, 30:370] = page[41::40, 30:370] = page[42::40, 30:370] = 0
    made = io.BytesIO()
    Image.fromarray(page).rotate(2, Image.Resampling.BICUBIC, fillcolor=255).save(made, "PNG")
    answer, kind = preprocess.Stage(stage(tmp_path)).predict(made.getvalue())
    level = np.asarray(Image.open(io.BytesIO(answer)), float)[:, 60:340]
    assert kind == "image/png"
    assert level.mean(1).min() < 100, "a line lies in a row again"


def test_scans_are_the_same_each_time_and_half_have_a_decimal_comma() -> None:
    first, again = render_scans(2, 3), render_scans(2, 3)
    assert [one.image for one in first] == [one.image for one in again]
    assert first[0].fields != first[1].fields
    assert all(round(one.fields["wages"] * 0.062, 2) == one.fields["social"] for one in first)
