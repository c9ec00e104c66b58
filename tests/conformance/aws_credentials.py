"""Credentials of an account that is no account: for platforms, emulators and signatures of these scenarios."""

from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, REGION = "AKIDEXAMPLE", "a-long-enough-secret", "eu-central-1"
ENVIRONMENT: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": "",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def sign(method: str, url: str, body: bytes, headers: Mapping[str, str], service: str) -> dict[str, str]:
    """The headers with a signature (Signature Version 4)."""
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    SigV4Auth(Credentials(KEY, SECRET), service, REGION).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}
