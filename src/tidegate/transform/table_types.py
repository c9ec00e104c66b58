"""Content types of tables: parquet and Arrow. Pure."""

from tidegate.transform.joining import media_type

TABLE_TYPES = frozenset(
    {
        "application/x-parquet",
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.arrow.file",
    }
)


def is_table(content_type: str) -> bool:
    return media_type(content_type) in TABLE_TYPES
