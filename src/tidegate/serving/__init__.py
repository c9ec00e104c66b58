"""One process per replica: fetches the model data, loads it, and answers predictions on a unix socket.

``python -m tidegate.serving REPLICA.json`` (see ``spec.py``). A request goes through ``http.py`` (bytes to requests
and back), ``server.py`` (who may, what for, what is counted) and an engine: ``batching.py`` around a built-in
runtime, or ``runtimes/program.py``, which hands it on to a program with the container contract.
"""
