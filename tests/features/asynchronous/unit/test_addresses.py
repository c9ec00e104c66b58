"""Addresses of data are read one way everywhere: keys of S3 as they stand, paths of files percent-decoded."""

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.storage.addresses import Address, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://inputs/a%20b.csv", Address("inputs", "a%20b.csv")),
        ("s3://inputs/a#1?x=y.csv", Address("inputs", "a#1?x=y.csv")),
        ("s3://inputs//a.csv", Address("inputs", "/a.csv")),
        ("file:///in/a%20b.csv", Address("", "/in/a b.csv")),
        ("file:///in/a#1?x.csv", Address("", "/in/a#1?x.csv")),
        ("file://localhost/in", Address("", "/in")),
    ],
)
def test_an_address_names_one_object(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///key", "file://host/in", "file:in", "https://a/b", "file:///%00", ""]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ArtifactError):
        parse(url)


def test_a_bucket_without_a_key_is_a_prefix_only() -> None:
    assert parse("s3://inputs", prefix=True) == parse("s3://inputs/", prefix=True) == Address("inputs", "")
    with pytest.raises(ArtifactError):
        parse("s3://inputs/")
