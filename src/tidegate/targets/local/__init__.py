"""This machine as a target: a fleet is a set of worker processes behind the local HAProxy.

``provider.py`` joins what the target supplies; ``target.py`` implements fleets and traffic. Each fleet has one
supervisor (``fleet.py``), which makes what runs equal to what is desired. ``process.py`` starts, adopts and ends one
worker process, ``worker_client.py`` speaks to it, ``paths.py`` says where everything lies. Workers have sessions of
their own and outlive the controller: what is needed to adopt them is on disk before they start.
"""
