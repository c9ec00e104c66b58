"""One request whose reply goes to a function, without a task or a future of its own."""

from collections.abc import Callable

from tidegate.http1.connection import HttpConnection
from tidegate.http1.messages import ConnectionBroken, HttpReply, StreamedReply

Take = Callable[[HttpReply | Exception], None]


class Exchange:
    """A ``Waiter``. ``take`` is called once, unless the exchange is abandoned; ``keep`` gets the connection back."""

    __slots__ = ("_connection", "_keep", "_over", "_request", "_retry", "_take")

    def __init__(self, request: bytes, take: Take, keep: Callable[[HttpConnection], None]) -> None:
        self._request, self._take, self._keep = request, take, keep
        self._connection: HttpConnection | None = None
        self._retry: Callable[[Exchange], None] | None = None
        self._over = False

    def begin(self, connection: HttpConnection, retry: "Callable[[Exchange], None] | None") -> None:
        """Send the request. ``retry``: called in place of ``take`` if the server had closed this kept connection."""
        self._connection, self._retry = connection, retry
        connection.begin(self._request, self)

    def pause(self) -> None:
        """Leave the reply unread until ``resume``."""
        if self._connection is not None and self._connection.open and not self._over:
            self._connection.pause()

    def resume(self) -> None:
        if self._connection is not None and not self._over:
            self._connection.resume()

    def abandon(self) -> None:
        """Take nothing any more."""
        self._over = True
        if self._connection is not None:
            self._connection.close()

    def done(self) -> bool:
        return self._over

    def set_result(self, result: HttpReply | StreamedReply, /) -> None:
        assert isinstance(result, HttpReply) and self._connection is not None
        self._over = True
        self._keep(self._connection)
        self._take(result)

    def set_exception(self, exception: Exception, /) -> None:
        if self._over:
            return
        retry, self._retry = self._retry, None
        if retry is not None and isinstance(exception, ConnectionBroken) and exception.untouched:
            retry(self)
            return
        self._over = True
        self._take(exception)
