"""HTTP/1.1 as a client, on httptools: for programs, workers and proxies on this machine.

``client.HttpClient`` keeps connections to one server; ``connection.HttpConnection`` is one of them; ``body_stream``
hands over long responses in parts. The load generator has a connection of its own (``load/connection.py``),
which calls its owner back and keeps neither headers nor body: a request costs it 13 microseconds of processor time,
one through ``HttpClient`` 23 (medians by turns in one run, 16 connections, a server that answers at once).
"""
