"""One table says which errors of S3 and of the disk are permanent."""

import errno
import os

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from tidegate.domain.errors import ArtifactError, MissingArtifact, Transient
from tidegate.storage import files
from tidegate.storage.s3 import S3Unusable, translate_s3_errors


@pytest.mark.parametrize(
    ("code", "status", "kind", "message"),
    [
        ("NoSuchKey", 404, MissingArtifact, "there is no such object (NoSuchKey)"),
        ("404", 404, MissingArtifact, "there is no such object"),
        ("AccessDenied", 403, ArtifactError, "access is denied (AccessDenied)"),
        ("InvalidRequest", 400, ArtifactError, "S3 answered InvalidRequest: x"),
        ("SlowDown", 503, Transient, "S3 answered SlowDown: x"),
        ("RequestTimeout", 400, Transient, "S3 answered RequestTimeout: x"),
        ("InternalError", 500, Transient, "S3 answered InternalError: x"),
    ],
)
def test_an_answer_of_s3(code: str, status: int, kind: type[Exception], message: str) -> None:
    answer = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    found = translate_s3_errors(ClientError(answer, "GetObject"))
    assert (type(found), str(found)) == (kind, message)


def test_an_s3_that_is_away_and_one_that_cannot_be_used() -> None:
    assert type(translate_s3_errors(EndpointConnectionError(endpoint_url="http://a"))) is Transient
    assert type(translate_s3_errors(NoCredentialsError())) is S3Unusable


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (errno.ENOENT, MissingArtifact, "there is no such file"),
        (errno.EACCES, ArtifactError, "no permission to read it"),
        (errno.EISDIR, ArtifactError, "it cannot be read: Is a directory"),
        (errno.EIO, Transient, "it cannot be read: Input/output error"),
    ],
)
def test_an_error_of_the_disk(code: int, kind: type[Exception], message: str) -> None:
    found = files.unreadable(OSError(code, os.strerror(code)))
    assert (type(found), str(found)) == (kind, message)
