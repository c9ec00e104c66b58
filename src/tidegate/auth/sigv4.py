"""Verify AWS Signature Version 4.

Pure and standard library only, since every worker verifies every prediction. The rules are those of AWS's "Create a
signed request" page for services other than S3 (the path is encoded once more, the body is always hashed). A path
that would need normalising is refused (``request_target``), so that the verified path is the routed one. Messages and
the order of checks are those of AWS's JSON services. Request text is decoded as latin-1, so that the original bytes
can be restored."""

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from tidegate.auth import request_target
from tidegate.domain.errors import IncompleteSignature, InvalidSignature, MissingAuthentication, UnknownKey

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
MAX_EXPIRES = 604_800
ISO_BASIC = "%Y%m%dT%H%M%SZ"

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True)
class RequestParts:
    """The request as received: ``path`` still percent-encoded, ``query`` without its ``?``, headers in order and any
    case, the body before decompression."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes | memoryview


@dataclass(frozen=True)
class SignerIdentity:
    """Signer, region, service and time of a signature."""

    access_key: str
    region: str
    service: str
    signed_at: datetime


@dataclass(frozen=True)
class _Claim:
    """The signature as claimed in a header or in the query."""

    algorithm: str
    credential: str
    signed_headers: tuple[str, ...]
    signature: str
    signed_at: datetime
    valid_for: int
    """Seconds after ``signed_at`` for which the signature is valid."""


def verify(
    request: RequestParts,
    keys: Mapping[str, str],
    *,
    now: datetime,
    skew: int,
    services: Collection[str],
) -> SignerIdentity:
    """Verify the signature and return its signer. Raises a subclass of AuthError, or Invalid for a target that is not
    canonical.

    ``keys`` maps access key ids to secrets; ``skew`` is the allowed difference of the signature's date from ``now``,
    in seconds; ``services`` are the accepted SigV4 service names."""
    request_target.check(request.path, request.query)
    headers = _group_headers(request.headers)
    pairs = _query_pairs(request.query)
    claim = _read_claim(headers, pairs, skew)
    _check_time(claim, now, skew)
    _check_headers(claim, headers)
    if claim.algorithm != ALGORITHM:
        raise InvalidSignature(f"Unsupported AWS 'algorithm': '{claim.algorithm}'. Use {ALGORITHM}.")
    identity = _identity(claim, services)
    secret = keys.get(identity.access_key)
    if secret is None:
        raise UnknownKey("The security token included in the request is invalid.")
    made = _signatures(request, headers, claim.signed_headers, secret, identity)
    if not any(hmac.compare_digest(one.encode(), claim.signature.encode()) for one in made):
        raise InvalidSignature(MISMATCH)
    return identity


def sign(request: RequestParts, key: tuple[str, str], now: datetime, region: str, service: str) -> dict[str, str]:
    """Headers that sign the request with a key (id and secret), which has ``host`` among its headers."""
    identity = SignerIdentity(key[0], region, service, now.astimezone(UTC).replace(microsecond=0))
    date = identity.signed_at.strftime(ISO_BASIC)
    headers = {**_group_headers(request.headers), "x-amz-date": [date]}
    names = sorted(headers)
    made = next(iter(_signatures(request, headers, names, key[1], identity)))
    scope = f"{date[:8]}/{region}/{service}/{TERMINATOR}"
    credential = f"Credential={key[0]}/{scope}, SignedHeaders={';'.join(names)}, Signature={made}"
    return {"x-amz-date": date, "authorization": f"{ALGORITHM} {credential}"}


# --- the claimed signature ---------------------------------------------------------------------------------


def _read_claim(headers: Mapping[str, list[str]], pairs: Sequence[tuple[str, str]], skew: int) -> _Claim:
    in_header = "authorization" in headers
    in_query = any(name in ("X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential") for name, _ in pairs)
    if in_header and in_query:
        raise InvalidSignature(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
        )
    if in_header:
        return _from_header(headers, skew)
    if in_query:
        return _from_query(pairs)
    raise MissingAuthentication("Missing Authentication Token")


def _from_header(headers: Mapping[str, list[str]], skew: int) -> _Claim:
    if len(headers["authorization"]) > 1:
        raise InvalidSignature("The Authorization header is given more than once.")
    text = headers["authorization"][0]
    algorithm, _, rest = text.partition(" ")
    parts = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in rest.split(","))}
    date = headers.get("x-amz-date") or headers.get("date")
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(name)
    ]
    if not date:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if not date or missing:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        raise IncompleteSignature(
            f"{' '.join(missing)} (Hashed with SHA-256 and encoded with Base64) Authorization={digest}"
        )
    return _Claim(
        algorithm=algorithm,
        credential=parts["Credential"],
        signed_headers=tuple(parts["SignedHeaders"].split(";")),
        signature=parts["Signature"],
        signed_at=_parse_date(date[0]),
        valid_for=skew,
    )


def _from_query(pairs: Sequence[tuple[str, str]]) -> _Claim:
    counts = Counter(name for name, _ in pairs if name.startswith("X-Amz-"))
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise InvalidSignature(f"Query-string parameter '{repeated[0]}' is given more than once.")
    parts = {name: unquote_to_bytes(value).decode("latin-1") for name, value in pairs}
    wanted = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date", "Expires")
    missing = [name for name in wanted if not parts.get(f"X-Amz-{name}")]
    if missing:
        raise IncompleteSignature(
            " ".join(f"AWS query-string parameters must include 'X-Amz-{name}'." for name in missing)
            + " Re-examine the query-string parameters."
        )
    expires = parts["X-Amz-Expires"]
    if not re.fullmatch(r"[0-9]{1,6}", expires) or not 1 <= int(expires) <= MAX_EXPIRES:
        raise InvalidSignature(
            f"'X-Amz-Expires' must be a number of seconds from 1 to {MAX_EXPIRES}. Got '{expires}'."
        )
    return _Claim(
        algorithm=parts["X-Amz-Algorithm"],
        credential=parts["X-Amz-Credential"],
        signed_headers=tuple(parts["X-Amz-SignedHeaders"].split(";")),
        signature=parts["X-Amz-Signature"],
        signed_at=_parse_date(parts["X-Amz-Date"]),
        valid_for=int(expires),
    )


def _parse_date(text: str) -> datetime:
    """Parse a date in ISO 8601 basic format, or in RFC 1123 format as in HTTP's Date header."""
    try:
        if re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", text):
            return datetime.strptime(text, ISO_BASIC).replace(tzinfo=UTC)
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise IncompleteSignature(
            f"Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ) from None


# --- checks before that of the signature -------------------------------------------------------------------


def _check_time(claim: _Claim, now: datetime, skew: int) -> None:
    now = now.astimezone(UTC).replace(microsecond=0)  # a signature's date has whole seconds
    signed, present = claim.signed_at.strftime(ISO_BASIC), now.strftime(ISO_BASIC)
    oldest = now - timedelta(seconds=claim.valid_for)
    newest = now + timedelta(seconds=skew)
    if claim.signed_at < oldest:
        raise InvalidSignature(
            f"Signature expired: {signed} is now earlier than {oldest.strftime(ISO_BASIC)} "
            f"({present} - {_format_span(claim.valid_for)})"
        )
    if claim.signed_at > newest:
        raise InvalidSignature(
            f"Signature not yet current: {signed} is still later than "
            f"{newest.strftime(ISO_BASIC)} ({present} + {_format_span(skew)})"
        )


def _format_span(seconds: int) -> str:
    return f"{seconds // 60} min." if seconds % 60 == 0 else f"{seconds} sec."


def _check_headers(claim: _Claim, headers: Mapping[str, list[str]]) -> None:
    """Host and every ``x-amz-*`` header must be signed, since they decide what the request does. Every signed header
    must be present."""
    if "host" not in claim.signed_headers:
        raise InvalidSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    unsigned = sorted(name for name in headers if name.startswith("x-amz-") and name not in claim.signed_headers)
    if unsigned:
        raise InvalidSignature(
            f"There were headers present in the request which were not signed: {', '.join(unsigned)}"
        )
    absent = [name for name in claim.signed_headers if name not in headers]
    if absent:
        raise InvalidSignature(f"Signed headers are not in the request: {', '.join(absent)}")


def _identity(claim: _Claim, services: Collection[str]) -> SignerIdentity:
    parts = claim.credential.split("/")
    if len(parts) != 5:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{claim.credential}'"
        )
    access_key, date, region, service, terminator = parts
    wrong = []
    if not re.fullmatch(r"[a-z0-9-]+", region):
        wrong.append(f"Credential should be scoped to a valid region, not '{region}'.")
    if service not in services:
        expected = ", ".join(f"'{name}'" for name in sorted(services))
        wrong.append(f"Credential should be scoped to correct service: {expected}.")
    if terminator != TERMINATOR:
        wrong.append(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
    signed = claim.signed_at.strftime(ISO_BASIC)
    if date != signed[:8]:
        wrong.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{signed[:8]}', from '{signed}'."
        )
    if wrong:
        raise InvalidSignature(" ".join(wrong))
    return SignerIdentity(access_key=access_key, region=region, service=service, signed_at=claim.signed_at)


# --- the signature ------------------------------------------------------------------------------------------


def _signatures(
    request: RequestParts,
    headers: Mapping[str, list[str]],
    signed_headers: Sequence[str],
    secret: str,
    identity: SignerIdentity,
) -> Iterator[str]:
    """Valid signatures of the request: over the re-encoded query, as AWS documents, and over the query as sent, as
    botocore does. They differ if the client encodes unusually."""
    payload = hashlib.sha256(request.body).hexdigest()
    for claimed in headers.get("x-amz-content-sha256", ()):
        if claimed != payload:
            raise InvalidSignature(
                f"X-Amz-Content-SHA256 is '{claimed}' but the body received has '{payload}': sign it as sent."
            )
    lines = [f"{name}:{','.join(map(_collapse_spaces, headers[name]))}" for name in signed_headers]
    path = quote(request.path, safe="/~", encoding="latin-1")
    for query in dict.fromkeys(
        (_canonical_query(_query_pairs(request.query)), _canonical_query(_raw_pairs(request.query)))
    ):
        canonical = [request.method, path, query, *lines, "", ";".join(signed_headers), payload]
        yield _signature("\n".join(canonical).encode("latin-1"), secret, identity)


def _canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    """Canonical query. Values of a repeated name are sorted, so their order is not signed."""
    return "&".join(f"{name}={value}" for name, value in sorted(pairs) if name != "X-Amz-Signature")


def _signature(canonical: bytes, secret: str, identity: SignerIdentity) -> str:
    signed = identity.signed_at.strftime(ISO_BASIC)
    scope = f"{signed[:8]}/{identity.region}/{identity.service}/{TERMINATOR}"
    text = f"{ALGORITHM}\n{signed}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    key = _signing_key(secret, signed[:8], identity.region, identity.service)
    return hmac.digest(key, text.encode(), "sha256").hex()


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derived once per day, region and service. The cache is bounded, since a client may name many regions."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _group_headers(headers: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def _query_pairs(query: str) -> list[tuple[str, str]]:
    """Names and values, decoded and re-encoded by AWS's rule (all but unreserved characters)."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(_encode(name), _encode(value)) for name, _, value in pairs]


def _raw_pairs(query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in query.split("&")) if query else ()
    return [(name, value) for name, _, value in pairs]


def _encode(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ").encode("latin-1")), safe="-_.~")


def _collapse_spaces(value: str) -> str:
    return " ".join(word for word in value.split(" ") if word)
