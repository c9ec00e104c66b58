"""One table from our errors to each service's error names, statuses and messages."""

from tidegate.model.errors import TidegateError


class Coded(TidegateError):
    """An error with a name of its own in the service's model, such as ``InvalidParameterCombination``.

    ``query_code`` is the name in the query protocol where that differs.
    """

    def __init__(self, name: str, message: str, status: int = 400, query_code: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.query_code = query_code or name
