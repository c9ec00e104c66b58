"""Our codecs against botocore's: what its serialisers write we read, what we write its parsers read."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.wire import codec_cbor, codec_json, codec_query, output_shapes, schema
from tidegate.wire.validation import WrongType

CLOUDWATCH = schema.load("cloudwatch", ("GetMetricData", "GetMetricStatistics", "PutMetricAlarm", "PutMetricData"))
RUNTIME = schema.load("sagemaker-runtime", ("InvokeEndpoint",))

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(
    datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])
).map(lambda moment: moment.replace(microsecond=0))
DATA = st.lists(
    st.fixed_dictionaries(
        {"MetricName": TEXT},
        optional={
            "Dimensions": st.lists(st.fixed_dictionaries({"Name": TEXT, "Value": TEXT}), max_size=12),
            "Timestamp": TIMES,
            "Value": NUMBERS,
            "Values": st.lists(NUMBERS, max_size=12),
            "StatisticValues": st.fixed_dictionaries(
                {name: NUMBERS for name in ("SampleCount", "Sum", "Minimum", "Maximum")}
            ),
            "StorageResolution": st.integers(1, 60),
        },
    ),
    max_size=12,
)


def sent(protocol: str, operation: str, params: dict[str, Any]) -> Any:
    """What botocore would put on the wire."""
    model = CLOUDWATCH.operation(operation)
    return create_serializer(protocol).serialize_to_request(params, model)["body"]


def read(operation: str, body: Any, protocol: str = "query") -> tuple[dict[str, Any], list[str]]:
    unknown: list[str] = []
    shape = CLOUDWATCH.operation(operation).input_shape
    if isinstance(body, dict):
        form = codec_query.parse_form(urlencode(body).encode())
        return codec_query.parse(shape, form, unknown), unknown
    codec = codec_json if protocol == "json" else codec_cbor
    return codec.parse(shape, body, unknown), unknown


@settings(max_examples=60, deadline=None)
@given(TEXT, DATA)
@pytest.mark.parametrize("protocol", ["query", "json", "smithy-rpc-v2-cbor"])
def test_requests_of_botocore_are_parsed(protocol: str, namespace: str, data: list[dict[str, Any]]) -> None:
    params = {"Namespace": namespace, "MetricData": data}
    body = sent(protocol, "PutMetricData", params)
    assert read("PutMetricData", body, protocol) == (params, [])


RESULTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "Id": TEXT,
            "Label": TEXT.map(lambda text: f"<{text}> & {text}"),
            "Timestamps": st.lists(TIMES, min_size=1, max_size=4),
            "Values": st.lists(NUMBERS, min_size=1, max_size=4),
            "StatusCode": st.sampled_from(["Complete", "PartialData"]),
        },
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(RESULTS)
def test_answers_are_parsed_by_botocore(results: list[dict[str, Any]]) -> None:
    model = CLOUDWATCH.operation("GetMetricData")
    members = output_shapes.drop_empty(model.output_shape, {"MetricDataResults": results, "NextToken": None})
    assert output_shapes.find_shape_error("cloudwatch", model.output_shape, members) is None
    xml = codec_query.render("GetMetricData", model.output_shape, members, CLOUDWATCH.namespace, "r-1")
    bodies = {
        "query": xml,
        "json": codec_json.render(model.output_shape, members),
        "smithy-rpc-v2-cbor": codec_cbor.render(members),
    }
    for protocol, body in bodies.items():
        answer = {"status_code": 200, "headers": {"smithy-protocol": "rpc-v2-cbor"}, "body": body}
        parsed = create_parser(protocol).parse(answer, model.output_shape)
        assert parsed["MetricDataResults"] == results


def test_a_map_in_xml_is_read_by_botocore() -> None:
    shape = CLOUDWATCH.operation("GetMetricStatistics").output_shape
    members = {"Datapoints": [{"ExtendedStatistics": {"p99": 1.5, "p50": math.inf}}]}
    xml = codec_query.render("GetMetricStatistics", shape, members, CLOUDWATCH.namespace, "r-1")
    parsed = create_parser("query").parse({"status_code": 200, "headers": {}, "body": xml}, shape)
    assert parsed["Datapoints"] == members["Datapoints"]
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"


def test_an_error_in_xml_is_read_by_botocore() -> None:
    xml = codec_query.render_error("InvalidFormat", "a < b & c\x00", "Sender", CLOUDWATCH.namespace, "r-1")
    parsed = create_parser("query").parse({"status_code": 400, "headers": {}, "body": xml}, None)
    assert parsed["Error"] == {"Type": "Sender", "Code": "InvalidFormat", "Message": "a < b & c"}


def test_a_form_keeps_the_order_of_its_numbers() -> None:
    form = {f"AlarmActions.member.{n}": str(n) for n in (10, 2, 1)}
    assert read("PutMetricAlarm", form)[0]["AlarmActions"] == ["1", "2", "10"]
    assert read("PutMetricAlarm", {"AlarmActions": ""})[0]["AlarmActions"] == []


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"Period": "soon"}, "Value 'soon' at 'period' is not an integer"),
        ({"Period": "9" * 30}, "expected an integer of 32 bits"),
        ({"Threshold": "high"}, "is not a number"),
        ({"ActionsEnabled": "1"}, "is not true or false"),
        ({"AlarmActions.1": "x"}, "'alarmActions' is not a list: expected fields named member.1"),
        ({"AlarmActions.member.one": "x"}, "has entries that are not numbered: one"),
        ({"AlarmActions.member.1.Name": "x"}, "has nested fields, expected a string"),
        (
            {"Period": "1", "Period.member.1": "2"},
            "'Period.member.1' is nested below a field that has a value",
        ),
        ({"Period.member.1": "2", "Period": "1"}, "'Period' has both a value and nested fields"),
        ({"Dimensions.member.1": "x"}, "Value 'x' at 'dimensions.1.member' is a value, expected nested fields"),
    ],
)
def test_forms_of_the_wrong_shape_are_refused(form: dict[str, str], message: str) -> None:
    with pytest.raises(WrongType) as refused:
        read("PutMetricAlarm", form)
    assert message in str(refused.value)


def test_unknown_form_field_is_reported_with_its_path() -> None:
    _, unknown = read("PutMetricAlarm", {"Dimensions.member.1.Nme": "x"})
    assert unknown == ["Unknown member 'Nme' at 'dimensions.1.member': did you mean 'Name'?"]


@pytest.mark.parametrize("body", [b"\xff=1", b"a=1&" * 100_001], ids=["bytes", "many"])
def test_unreadable_form_is_refused(body: bytes) -> None:
    with pytest.raises(WrongType, match="the form cannot be read"):
        codec_query.parse_form(body)


@pytest.mark.parametrize(("text", "number"), [("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)])
def test_numbers_that_json_cannot_spell_are_words(text: str, number: float) -> None:
    shape = CLOUDWATCH.operation("PutMetricAlarm").input_shape
    read_back = codec_json.parse(shape, json.dumps({"Threshold": text}).encode(), [])["Threshold"]
    assert read_back == number or (math.isnan(read_back) and math.isnan(number))
    assert codec_json.to_json_data(shape.members["Threshold"], number) == text


def test_the_runtime_takes_members_from_path_headers_and_body() -> None:
    shape = RUNTIME.operation("InvokeEndpoint").input_shape
    headers = {"content-type": "text/csv", "x-amzn-sagemaker-target-variant": "main", "x-other": "1"}
    assert codec_json.parse_rest(shape, {"EndpointName": "fraud"}, headers, b"1,2") == {
        "EndpointName": "fraud",
        "ContentType": "text/csv",
        "TargetVariant": "main",
        "Body": b"1,2",
    }


def test_empty_members_of_an_answer_are_dropped() -> None:
    shape = CLOUDWATCH.operation("GetMetricData").output_shape
    members: dict[str, Any] = {"MetricDataResults": [{"Id": "a", "Label": None, "Values": []}], "NextToken": None}
    assert output_shapes.drop_empty(shape, members) == {"MetricDataResults": [{"Id": "a", "Values": []}]}
    assert output_shapes.drop_empty(shape, None) == {}
    with pytest.raises(LookupError, match="has no member Surprise"):
        output_shapes.drop_empty(shape, {"Surprise": 1})


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"MetricDataResults": [{"StatusCode": "Done"}]}, "'Done' is not one of the values of StatusCode"),
        ({"MetricDataResults": [{"Values": ["1"]}]}, "Invalid type for parameter MetricDataResults[0].Values[0]"),
    ],
)
def test_answer_that_violates_its_shape_is_reported(members: dict[str, Any], complaint: str) -> None:
    shape = CLOUDWATCH.operation("GetMetricData").output_shape
    assert complaint in str(output_shapes.find_shape_error("cloudwatch", shape, members))
    assert "without an output shape" in str(output_shapes.find_shape_error("cloudwatch", None, members))


@pytest.mark.parametrize(
    ("hexed", "value"),
    [
        ("00", 0),
        ("1818", 24),
        ("1a000f4240", 1_000_000),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3863", -100),
        ("f97e00", math.nan),
        ("f93c00", 1.0),
        ("fa47c35000", 100_000.0),
        ("f97c00", math.inf),
        ("f6", None),
        ("f5", True),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("62c3bc", "ü"),
        ("c11a514b67b0", 1_363_896_240),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ],
)
def test_cbor_of_the_standard_is_read(hexed: str, value: Any) -> None:
    """Examples of RFC 8949, appendix A."""
    decoded = codec_cbor.decode(bytes.fromhex(hexed))
    assert decoded == value or (math.isnan(decoded) and math.isnan(value))


@pytest.mark.parametrize(
    "hexed",
    [
        "",
        "18",
        "61",
        "61ff",
        "9bffffffffffffffff",
        "bb7fffffffffffffff",
        "5bffffffffffffffff",
        "a1",
        "a10102",
        "ff",
        "81ff",
        "0000",
        "1c",
        "f0",
        "c249010000000000000000",
        "7f01ff",
        "bf6161ff",
        "81" * 40 + "00",
        "9f" * 100_000,
    ],
    ids=range(19),
)
def test_malformed_cbor_is_refused(hexed: str) -> None:
    with pytest.raises(WrongType):
        codec_cbor.decode(bytes.fromhex(hexed))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    shape = CLOUDWATCH.operation("PutMetricData").input_shape
    try:
        members = codec_cbor.parse(shape, body, [])
    except WrongType:
        return
    assert members.keys() <= shape.members.keys()
