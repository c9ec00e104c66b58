"""The cheapest answer that a Python process can give: the same bytes for whatever arrives, on uvloop.

    python bench/constant_server.py SOCKET

It reads no HTTP: each piece that arrives counts as one request, which holds for the small ones of a benchmark.
"""

import asyncio
import sys
from typing import cast

import uvloop

BODY = b'{"predictions":[0.6892643570899963]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Constant(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, _: bytes) -> None:
        self.transport.write(ANSWER)


async def serve(socket: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Constant, socket)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
