"""Tables as files: the content types and the first bytes of parquet and Arrow. Pure."""

from tidegate.transform.joining import media_type

TABLE_TYPES = frozenset(
    {
        "application/x-parquet",
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.arrow.file",
    }
)
PARQUET, ARROW, STREAM = MAGIC = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
"""The first bytes of each table format."""


def is_table(content_type: str) -> bool:
    return media_type(content_type) in TABLE_TYPES
