"""One request whose reply goes to a function, without a task or a future of its own."""

from collections.abc import Callable

from tidegate.http1.connection import HttpConnection
from tidegate.http1.messages import ConnectionBroken, HttpReply, StreamedReply

Take = Callable[[HttpReply | Exception], None]


class Exchange:
    """A ``Waiter``. ``take`` is called once, unless the exchange is abandoned; ``keep`` gets the connection back.
    ``unread``: the reply is left unread until ``read``."""

    __slots__ = ("_connection", "_keep", "_over", "_request", "_retry", "_take", "_unread")

    def __init__(
        self, request: bytes, take: Take, keep: Callable[[HttpConnection], None], unread: bool = False
    ) -> None:
        self._request, self._take, self._keep, self._unread = request, take, keep, unread
        self._connection: HttpConnection | None = None
        self._retry: Callable[[Exchange], None] | None = None
        self._over = False

    def begin(self, connection: HttpConnection, retry: "Callable[[Exchange], None] | None") -> None:
        """Send the request. ``retry``: called in place of ``take`` if the server had closed this kept connection."""
        self._connection, self._retry = connection, retry
        if self._unread:
            connection.pause()
        else:
            connection.resume()
        connection.begin(self._request, self)

    def read(self) -> None:
        """Read the reply, now or when it comes."""
        self._unread = False
        if self._connection is not None and not self._over:
            self._connection.pull()

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
