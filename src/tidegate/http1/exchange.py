"""One request whose reply goes to a function, without a task or a future of its own."""

from collections.abc import Callable

from tidegate.http1.connection import HttpConnection
from tidegate.http1.messages import ConnectionBroken, HttpReply, StreamedReply, Streaming

Take = Callable[[HttpReply | Exception], None]
"""Called within the parser: it must not send on the same client at once."""
TakeAny = Callable[[HttpReply | StreamedReply | Exception], None]


class Exchange:
    """A ``Waiter``. ``take`` is called once, unless the exchange is abandoned; ``keep`` gets the connection back."""

    __slots__ = ("_connection", "_keep", "_over", "_request", "_retry", "_streaming", "_take")

    def __init__(
        self,
        request: bytes,
        take: TakeAny,
        keep: Callable[[HttpConnection], None],
        streaming: Streaming | None = None,
    ) -> None:
        self._request, self._take, self._keep, self._streaming = request, take, keep, streaming
        self._connection: HttpConnection | None = None
        self._retry: Callable[[Exchange], None] | None = None
        self._over = False

    def begin(self, connection: HttpConnection, retry: "Callable[[Exchange], None] | None") -> None:
        """Send the request. ``retry``: called in place of ``take`` if the server had closed this kept connection."""
        self._connection, self._retry = connection, retry
        connection.begin(self._request, self, self._streaming)

    def pause(self) -> None:
        """Leave the reply unread until ``resume``."""
        if self._connection is not None and self._connection.open and not self._over:
            self._connection.pause()

    def resume(self) -> None:
        if self._connection is not None and not self._over:
            self._connection.resume()

    def abandon(self) -> None:
        """Take nothing any more. Only before ``take`` was called: the connection may be another request's after."""
        if self._over:
            return
        self._over = True
        if self._connection is not None:
            self._connection.close()

    def done(self) -> bool:
        return self._over

    def set_result(self, result: HttpReply | StreamedReply, /) -> None:
        assert self._connection is not None
        self._over = True
        if isinstance(result, HttpReply):
            self._keep(self._connection)  # a streamed one is kept when its stream has ended
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
