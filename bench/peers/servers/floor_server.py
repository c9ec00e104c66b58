"""The floor: two processes on one port (SO_REUSEPORT), a uvloop protocol, orjson, one prediction a request."""

import asyncio
import os
import socket

import httptools
import numpy
import orjson
import uvloop
import xgboost


class Scores(asyncio.Protocol):
    def __init__(self, booster):
        self.booster = booster
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.body = b""

    def on_body(self, part):
        self.body += part

    def on_message_complete(self):
        answer = b"{}"
        if self.body:
            rows = numpy.asarray(orjson.loads(self.body)["instances"], dtype=numpy.float32)
            answer = orjson.dumps({"predictions": self.booster.inplace_predict(rows).tolist()})
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        self.transport.write(head + answer)


async def main():
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(os.environ["MODEL"])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    server = await asyncio.get_running_loop().create_server(lambda: Scores(booster), sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    os.fork()
    uvloop.run(main())
