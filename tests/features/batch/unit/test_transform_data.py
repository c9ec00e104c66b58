"""Paths into records, filters, joins and names, by SageMaker's own examples."""

from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.transform import DataProcessing, RequestLimits, SplitType, TransformProgress, eta
from tidegate.features.batch.runner import job_storage, pacing
from tidegate.features.batch.runner.pacing import RequestPlan
from tidegate.transform.joining import Processor, UnfitRecord, check
from tidegate.transform.paths import MissingValue, parse

PERSON = {"name": "Ann", "pay": {"gross": 10, "net": 7}, "scores": [5, 6, 7, 8], "odd key": 1}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", PERSON),
        ("$.name", "Ann"),
        ("$.pay.net", 7),
        ("$['name','scores']", {"name": "Ann", "scores": [5, 6, 7, 8]}),
        ('$["odd key"]', 1),
        ("$.scores[0]", 5),
        ("$.scores[0,-1]", [5, 8]),
        ("$.scores[1:3]", [6, 7]),
        ("$.scores[-2:]", [7, 8]),
        ("$.pay.*", [10, 7]),
    ],
)
def test_a_path_finds_what_it_names(path: str, found: Any) -> None:
    assert parse(path).select(PERSON) == found


@pytest.mark.parametrize("path", ["name", "$.", "$[", "$[a]", "$[1:2:3]", "$..name", "$" + "x" * 70, "$[0,]"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="JSONPath"):
        parse(path)


@pytest.mark.parametrize("path", ["$.name", "$['a']", "$[0][1]"])
def test_rows_have_no_names(path: str) -> None:
    with pytest.raises(Invalid, match="rows of CSV"):
        parse(path, table=True)


@pytest.mark.parametrize("path", ["$.nobody", "$.scores[4]", "$.name[0]", "$.scores.name"])
def test_what_a_record_does_not_have_is_missing(path: str) -> None:
    with pytest.raises(MissingValue):
        parse(path).select(PERSON)


def csv(**changes: Any) -> Processor:
    return Processor(DataProcessing(**changes), "text/csv")


def test_csv_is_filtered_and_joined() -> None:
    body = b'7,"a, b",1.50\n8,c,2\n'
    assert csv(input_filter="$[1:]").filter_input(body) == b'"a, b",1.50\nc,2\n'
    assert csv(input_filter="$[0,-1]").filter_input(body) == b"7,1.50\n8,2\n"
    assert csv(join=True).join_output(body, b"0.1\n0.2\n") == b'7,"a, b",1.50,0.1\n8,c,2,0.2\n'
    assert csv(join=True, output_filter="$[0,-1]").join_output(body, b"0.1\n0.2\n") == b"7,0.1\n8,0.2\n"


def test_a_text_that_begins_like_a_byte_order_mark_is_kept() -> None:
    assert csv(input_filter="$[0]").filter_input(b"\xef\xbb\xbfa,1\n") == b"\xef\xbb\xbfa\n"
    assert csv(join=True).join_output(b"\xef\xbb\xbfa,1\n", b"0.5\n") == b"\xef\xbb\xbfa,1,0.5\n"
    assert csv(output_filter="$[0]").join_output(b"a\n", b"\xef\xbb\xbfb,1\n") == b"\xef\xbb\xbfb\n"
    mark = b"\xef\xbb\xbf"
    assert csv(input_filter="$[0]").filter_input(mark + b"a,1\n", begins=True) == b"a\n"
    assert csv(join=True).join_output(mark + b"a,1\n", b"0.5\n", begins=True) == b"a,1,0.5\n"
    # The model's reader takes a mark away at the beginning of an object.
    assert csv(input_filter="$[1]").filter_input(b"1," + mark + b"a\n", begins=True) == mark + mark + b"a\n"


def test_json_lines_are_joined_under_the_names_of_sagemaker() -> None:
    lines = Processor(DataProcessing(input_filter="$.x", join=True), "application/jsonlines")
    assert lines.filter_input(b'{"x":[1,2],"id":5}\n') == b"[1,2]\n"
    assert lines.join_output(b'{"id":5}\n[1]\n', b"0.5\n0.6\n") == (
        b'{"id":5,"SageMakerOutput":0.5}\n{"SageMakerInput":[1],"SageMakerOutput":0.6}\n'
    )


def test_answers_that_cannot_be_told_apart_are_unfit() -> None:
    with pytest.raises(UnfitRecord, match="2 records got 1 answers"):
        csv(join=True).join_output(b"1\n2\n", b"0.1\n")
    with pytest.raises(UnfitRecord, match="no index 3") as unfit:
        csv(input_filter="$[3]").filter_input(b"1,2,3,4\n1,2\n")
    assert unfit.value.record == 1


def test_a_row_of_csv_without_any_column_at_a_path_is_unfit() -> None:
    with pytest.raises(UnfitRecord, match=r"it has 2 values, and none at \$\[2:\]") as unfit:
        csv(input_filter="$[2:]").filter_input(b"1,2,3\n1,2\n")
    assert unfit.value.record == 1
    with pytest.raises(UnfitRecord, match="and none at"):
        csv(output_filter="$[1:]").join_output(b"1,2\n", b"0.5\n")


@pytest.mark.parametrize("body", [b'{"predictions":[0.25,0.75]}', b"\n[0.25, 0.75]\n"])
def test_an_answer_in_json_is_no_row_of_csv(body: bytes) -> None:
    with pytest.raises(UnfitRecord, match="the answer is application/json"):
        csv(output_filter="$[-1]").check_answer("application/json; charset=utf-8", body)
    csv(join=True).check_answer("text/csv", b"[a],1\n")
    csv(join=True).check_answer("application/json", b"0.5\n")
    Processor(DataProcessing(join=True), "application/jsonlines").check_answer("application/json", body)


@pytest.mark.parametrize(
    ("form", "accept", "split", "by_line", "said"),
    [
        ("application/x-npy", "", SplitType.LINE, True, "needs ContentType"),
        ("text/csv", "application/json", SplitType.LINE, True, "same form in and out"),
        ("text/csv", "text/csv", SplitType.NONE, True, "SplitType and AssembleWith Line"),
        ("text/csv", "text/csv", SplitType.LINE, False, "SplitType and AssembleWith Line"),
        ("application/json", "", SplitType.LINE, False, "SplitType and AssembleWith None"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    form: str, accept: str, split: SplitType, by_line: bool, said: str
) -> None:
    check(DataProcessing(), form, accept, split, by_line)
    with pytest.raises(Invalid, match=said):
        check(DataProcessing(join=True), form, accept, split, by_line)


def test_names_of_outputs() -> None:
    assert job_storage.output_name("s3://b/in/day/a.csv", "s3://b/in/") == "day/a.csv"
    assert job_storage.output_name("s3://b/in/day/a.csv", "s3://b/in/da") == "day/a.csv"
    assert job_storage.output_name("s3://b/a.csv", "s3://b/a.csv") == "a.csv"
    assert job_storage.parse_manifest(b'[{"prefix": "s3://b/p/"}, "x", "y/z", "x"]') == ("s3://b/p/", ["x", "y/z"])


@pytest.mark.parametrize("text", [b"{}", b"[]", b'["a"]', b'[{"prefix": "s3://b/"}]', b"no"])
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="manifest"):
        job_storage.parse_manifest(text)


def test_the_time_left_follows_from_the_bytes() -> None:
    assert eta(TransformProgress(bytes_total=100, bytes_done=25), 10.0) == 30.0
    assert eta(TransformProgress(bytes_total=100), 10.0) is None


def test_the_job_wins_over_the_container_and_the_container_over_the_default() -> None:
    said = pacing.parse_parameters(
        b'{"MaxConcurrentTransforms": 8, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2, "More": 1}'
    )
    nothing = pacing.parse_parameters(b"what?")
    assert pacing.plan_requests(RequestLimits(), nothing, SplitType.LINE, False) == RequestPlan(
        False, 6 * 2**20, 1
    )
    assert pacing.plan_requests(RequestLimits(), said, SplitType.LINE, False) == RequestPlan(True, 2 * 2**20, 8)
    asked = RequestLimits(single=False, megabytes=3, concurrency=4)
    assert pacing.plan_requests(asked, said, SplitType.LINE, False) == RequestPlan(False, 3 * 2**20, 4)
    assert pacing.plan_requests(asked, nothing, SplitType.LINE, True) == RequestPlan(False, 3 * 2**20, 4)
    assert pacing.plan_requests(RequestLimits(), nothing, SplitType.LINE, True) == RequestPlan(
        False, 6 * 2**20, 3, aim=pacing.BUILT_IN_BATCH
    )
    assert pacing.plan_requests(RequestLimits(), nothing, SplitType.NONE, True).limit == 6 * 2**20
    parts = pacing.parse_parameters(b'{"TidegateParts": true}')
    assert pacing.plan_requests(RequestLimits(), parts, SplitType.LINE, True) == RequestPlan(
        False, 6 * 2**20, 4, parts=True, aim=pacing.BUILT_IN_BATCH
    )
    assert not pacing.plan_requests(RequestLimits(), parts, SplitType.LINE, False).parts
    assert not pacing.plan_requests(RequestLimits(single=True), parts, SplitType.LINE, True).parts
