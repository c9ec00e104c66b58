"""Signatures made by botocore's own signers are accepted; whatever was changed after signing is refused."""

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.request_targets import AMBIGUOUS, canonical_paths, encoded_queries, paths, raw_queries
from tidegate.auth.request_target import is_canonical
from tidegate.auth.sigv4 import ISO_BASIC, RequestParts, SignerIdentity, verify
from tidegate.domain.errors import (
    AuthError,
    IncompleteSignature,
    Invalid,
    InvalidSignature,
    MissingAuthentication,
    UnknownKey,
)

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = {KEY: SECRET, "OTHER": "another-secret"}
HOST = "127.0.0.1:8471"
Headers = dict[str, str]
untimed = settings(deadline=None)
"""A busy machine is no failure."""


def parts(request: AWSRequest) -> RequestParts:
    """The signed request as it would arrive."""
    prepared = request.prepare()
    url = urlsplit(prepared.url)
    headers = [
        (name, value.decode() if isinstance(value, bytes) else value) for name, value in prepared.headers.items()
    ]
    if "host" not in {name.lower() for name, _ in headers}:
        headers.append(("Host", url.netloc))
    body = prepared.body or b""
    return RequestParts(
        method=prepared.method,
        path=url.path,
        query=url.query,
        headers=tuple(headers),
        body=body.encode() if isinstance(body, str) else body,
    )


def signed(
    method: str = "POST",
    target: str = "/endpoints/fraud/invocations",
    headers: Headers | None = None,
    body: bytes = b"1,2,3",
    service: str = "sagemaker",
) -> RequestParts:
    request = AWSRequest(method, f"http://{HOST}{target}", headers=headers or {}, data=body)
    SigV4Auth(Credentials(KEY, SECRET), service, "eu-west-3").add_auth(request)
    return parts(request)


def presigned(
    target: str = "/?Action=ListThings", expires: int = 900, headers: Headers | None = None
) -> RequestParts:
    request = AWSRequest("GET", f"http://{HOST}{target}", headers=headers or {})
    SigV4QueryAuth(Credentials(KEY, SECRET), "sagemaker", "eu-west-3", expires=expires).add_auth(request)
    return parts(request)


def check(request: RequestParts, now: datetime | None = None, skew: int = 300) -> SignerIdentity:
    return verify(request, KEYS, now=now or get_current_datetime(), skew=skew, services={"sagemaker"})


def header(request: RequestParts, name: str) -> str:
    return next(value for key, value in request.headers if key.lower() == name.lower())


def with_header(request: RequestParts, name: str, value: str | None) -> RequestParts:
    kept = [pair for pair in request.headers if pair[0].lower() != name.lower()]
    return replace(request, headers=(*kept, *([(name, value)] if value is not None else [])))


def edited(request: RequestParts, old: str, new: str) -> RequestParts:
    """The Authorization header with ``old`` replaced."""
    text = header(request, "authorization")
    assert old in text
    return with_header(request, "Authorization", text.replace(old, new))


# --- whatever botocore signs, over random requests -----------------------------------------------------------

values = st.text(st.sampled_from(string.ascii_letters + string.digits + string.punctuation + " "), max_size=20)
names = st.sampled_from(["X-Amz-Target", "Content-Type", "X-Amzn-SageMaker-Target-Variant", "Accept", "X-Custom"])


@st.composite
def requests(draw: st.DrawFn) -> RequestParts:
    query = draw(encoded_queries)
    return signed(
        method=draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"])),
        target=draw(canonical_paths) + (f"?{query}" if query else ""),
        headers=draw(st.dictionaries(names, values, max_size=4)),
        body=draw(st.binary(max_size=64)),
    )


@untimed
@given(requests())
def test_what_botocore_signs_is_accepted(request: RequestParts) -> None:
    identity = check(request)
    assert (identity.access_key, identity.region, identity.service) == (KEY, "eu-west-3", "sagemaker")


@untimed
@given(canonical_paths, encoded_queries)
def test_what_botocore_presigns_is_accepted(path: str, query: str) -> None:
    assert check(presigned(f"{path}?{query}" if query else path)).access_key == KEY


@untimed
@given(raw_queries)
def test_a_query_is_verified_as_botocore_signs_it_however_it_is_spelt(query: str) -> None:
    assert check(signed(target=f"/?{query}")).access_key == KEY
    assert check(presigned(f"/?{query}")).access_key == KEY


@untimed
@given(paths, paths)
def test_a_signature_is_good_for_the_path_that_was_signed_alone(path: str, other: str) -> None:
    """botocore signs what is left of a path without its dot segments; no other spelling of that is accepted."""
    request = signed(target=path)
    if is_canonical(request.path):
        assert check(request).access_key == KEY
    else:
        with pytest.raises(Invalid, match="canonical"):
            check(request)
    if other != path:
        with pytest.raises((AuthError, Invalid)):
            check(replace(request, path=other))


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_an_ambiguous_target_is_refused_whoever_signed_it(target: str) -> None:
    path, _, query = target.partition("?")
    request = signed(target="/endpoints/other/invocations")
    with pytest.raises(Invalid, match="canonical"):
        check(replace(request, path=path, query=query))


def changed(draw: st.DrawFn, text: str) -> str:
    """``text`` with one character exchanged for another."""
    assume(text)
    at = draw(st.integers(0, len(text) - 1))
    new = draw(st.sampled_from(string.ascii_letters + string.digits + "-_~"))
    assume(new != text[at])
    return text[:at] + new + text[at + 1 :]


@st.composite
def altered(draw: st.DrawFn) -> tuple[RequestParts, RequestParts]:
    """A signed request and the same with one byte changed, of the body, the method, the path, the query, the
    signature or of any header that is signed."""
    request = draw(requests())
    names = header(request, "authorization").split("SignedHeaders=")[1].split(",")[0].split(";")
    part = draw(st.sampled_from(["method", "path", "query", "body", "authorization", *names]))
    if part == "body":
        assume(request.body)
        body = bytearray(request.body)
        body[draw(st.integers(0, len(body) - 1))] ^= 1 << draw(st.integers(0, 7))
        return request, replace(request, body=bytes(body))
    if part == "path":
        forged = changed(draw, request.path)
        assume(is_canonical(forged))
        return request, replace(request, path=forged)
    # AWS's rules hold %2b and %2B equal in a query
    if part == "query":
        forged = changed(draw, request.query)
        assume(is_canonical("/", forged) and unquote(forged) != unquote(request.query))
        return request, replace(request, query=forged)
    if part == "method":
        return request, replace(request, method=changed(draw, request.method))
    if part == "authorization":
        before, mark, signature = header(request, part).partition("Signature=")
        return request, with_header(request, part, before + mark + changed(draw, signature))
    return request, with_header(request, part, changed(draw, header(request, part)))


@untimed
@given(altered())
def test_one_changed_byte_is_refused(pair: tuple[RequestParts, RequestParts]) -> None:
    request, forged = pair
    assert check(request).access_key == KEY
    with pytest.raises(AuthError):
        check(forged)


@untimed
@given(st.composite(lambda draw: changed(draw, presigned("/a/b?x=1&y=%20z").query))())
def test_one_changed_byte_of_a_presigned_query_is_refused(query: str) -> None:
    request = presigned("/a/b?x=1&y=%20z")
    assume(is_canonical("/", query) and unquote(query) != unquote(request.query))  # %2f and %2F are equal
    with pytest.raises(AuthError):
        check(replace(request, query=query))


# --- refusals, in the order of the checks --------------------------------------------------------------------


def test_no_signature_at_all() -> None:
    with pytest.raises(MissingAuthentication, match=r"^Missing Authentication Token$"):
        check(RequestParts("GET", "/", "", [("Host", HOST)], b""))


def test_both_forms_at_once() -> None:
    request = with_header(presigned(), "Authorization", header(signed(), "authorization"))
    with pytest.raises(InvalidSignature, match=r"^Found both 'X-Amz-Algorithm' as a query-string param and"):
        check(request)


@pytest.mark.parametrize("name", ["Credential", "SignedHeaders", "Signature"])
def test_a_part_of_the_header_is_missing(name: str) -> None:
    with pytest.raises(IncompleteSignature, match=f"^Authorization header requires '{name}' parameter. "):
        check(edited(signed(), f"{name}=", f"X{name}="))


def test_every_missing_part_is_listed_and_a_foreign_token_is_not_echoed() -> None:
    request = with_header(with_header(signed(), "X-Amz-Date", None), "Authorization", "Bearer geheim")
    with pytest.raises(IncompleteSignature) as caught:
        check(request)
    for name in ("'Credential'", "'Signature'", "'SignedHeaders'", "'X-Amz-Date' or a 'Date'"):
        assert name in caught.value.message
    assert "geheim" not in caught.value.message


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"])
def test_a_part_of_the_query_is_missing(name: str) -> None:
    request = presigned()
    with pytest.raises(IncompleteSignature, match=f"^AWS query-string parameters must include 'X-Amz-{name}'"):
        check(replace(request, query=request.query.replace(f"X-Amz-{name}=", f"X-Other-{name}=")))


@pytest.mark.parametrize("date", ["yesterday", "20240101T250000Z", "2024-01-01T00:00:00Z", ""])
def test_a_date_that_is_none(date: str) -> None:
    with pytest.raises(IncompleteSignature):
        check(with_header(signed(), "X-Amz-Date", date))


def test_the_date_header_of_http_serves_too() -> None:
    assert check(signed(headers={"Date": "x"})).access_key == KEY


@pytest.mark.parametrize(
    ("late", "skew", "span"), [(301, 300, "5 min."), (91, 90, "90 sec."), (86_400, 900, "15 min.")]
)
def test_too_old(late: int, skew: int, span: str) -> None:
    request = signed()
    at = datetime.strptime(header(request, "x-amz-date"), ISO_BASIC).replace(tzinfo=UTC)
    now = at + timedelta(seconds=late)
    oldest = now - timedelta(seconds=skew)
    with pytest.raises(InvalidSignature) as caught:
        check(request, now, skew)
    times = [moment.strftime(ISO_BASIC) for moment in (at, oldest, now)]
    assert caught.value.message == (
        f"Signature expired: {times[0]} is now earlier than {times[1]} ({times[2]} - {span})"
    )


def test_not_yet_current() -> None:
    request = signed()
    at = datetime.strptime(header(request, "x-amz-date"), ISO_BASIC).replace(tzinfo=UTC)
    with pytest.raises(
        InvalidSignature, match=r"^Signature not yet current: .* is still later than .* \+ 5 min\.\)$"
    ):
        check(request, at - timedelta(seconds=301))


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_the_edges_of_the_window_are_inside(offset: int) -> None:
    request = signed()
    at = datetime.strptime(header(request, "x-amz-date"), ISO_BASIC).replace(tzinfo=UTC)
    assert check(request, at + timedelta(seconds=offset, microseconds=999_999)).signed_at == at


def test_a_presigned_url_lives_as_long_as_it_says() -> None:
    request = presigned(expires=1800)
    assert check(request, get_current_datetime() + timedelta(seconds=1700)).access_key == KEY
    with pytest.raises(InvalidSignature, match=r"^Signature expired: .* - 30 min\.\)$"):
        check(request, get_current_datetime() + timedelta(seconds=1802))


@pytest.mark.parametrize("expires", [0, -1, 604_801, 10**12])
def test_a_lifetime_out_of_range(expires: int) -> None:
    with pytest.raises(InvalidSignature, match=r"^'X-Amz-Expires' must be a number of seconds from 1 to 604800"):
        check(presigned(expires=expires))


def test_a_query_parameter_of_the_signature_twice() -> None:
    request = presigned()
    with pytest.raises(InvalidSignature, match=r"'X-Amz-Signature' is given more than once"):
        check(replace(request, query=request.query + "&X-Amz-Signature=0"))


def test_the_authorization_header_twice() -> None:
    request = signed()
    with pytest.raises(InvalidSignature, match=r"Authorization header is given more than once"):
        check(replace(request, headers=(*request.headers, ("authorization", "x"))))


def test_host_not_signed() -> None:
    with pytest.raises(InvalidSignature, match=r"^'Host' must be a 'SignedHeader'"):
        check(edited(signed(), "host;", ""))


def test_a_header_of_aws_that_is_not_signed() -> None:
    with pytest.raises(InvalidSignature, match=r"which were not signed: x-amz-target$"):
        check(with_header(signed(), "X-Amz-Target", "SageMaker.DeleteEndpoint"))


def test_a_signed_header_that_did_not_arrive() -> None:
    request = signed(headers={"Content-Type": "text/csv"})
    with pytest.raises(InvalidSignature, match=r"^Signed headers are not in the request: content-type$"):
        check(with_header(request, "Content-Type", None))


def test_another_algorithm() -> None:
    with pytest.raises(InvalidSignature, match=r"^Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'"):
        check(edited(signed(), "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"))


def test_a_credential_without_five_elements() -> None:
    with pytest.raises(IncompleteSignature, match=r"^Credential must have exactly 5 slash-delimited elements"):
        check(edited(signed(), "/aws4_request", ""))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/eu-west-3/", "/Über/", "valid region, not 'Über'"),
        ("/sagemaker/", "/s3/", "correct service: 'sagemaker'"),
        ("/aws4_request", "/aws3_request", "valid terminator: 'aws4_request', not 'aws3_request'"),
        (f"{KEY}/20", f"{KEY}/19", "Date in Credential scope does not match"),
    ],
)
def test_a_credential_of_another_scope(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidSignature) as caught:
        check(edited(signed(), old, new))
    assert message in caught.value.message


def test_a_key_that_nobody_has() -> None:
    with pytest.raises(UnknownKey, match=r"^The security token included in the request is invalid\.$"):
        check(edited(signed(), KEY, "AKIDSOMEBODY"))


@pytest.mark.parametrize(("old", "new"), [(f"={KEY}/", "=OTHER/"), ("Signature=", "Signature=ü")])
def test_a_signature_of_another_secret(old: str, new: str) -> None:
    with pytest.raises(InvalidSignature, match=r"^The request signature we calculated does not match"):
        check(edited(signed(), old, new))


def test_the_body_must_be_signed() -> None:
    request = AWSRequest("POST", f"http://{HOST}/", data=b"{}")
    request.context["payload_signing_enabled"] = False
    SigV4Auth(Credentials(KEY, SECRET), "sagemaker", "eu-west-3").add_auth(request)
    with pytest.raises(InvalidSignature, match=r"^X-Amz-Content-SHA256 is 'UNSIGNED-PAYLOAD' but"):
        check(parts(request))


def test_aws_own_example_of_a_signature() -> None:
    """The request and the signature that AWS's guide works through, for IAM."""
    example = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, " + (
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
    request = RequestParts(
        "GET",
        "/",
        "Action=ListUsers&Version=2010-05-08",
        [
            ("Host", "iam.amazonaws.com"),
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("X-Amz-Date", "20150830T123600Z"),
            ("Authorization", example),
        ],
        b"",
    )
    keys = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    assert verify(request, keys, now=now, skew=300, services={"iam"}).service == "iam"
