"""The machine itself as a target: a fleet is a set of worker processes behind the local HAProxy.

``target.py`` is the port's implementation. Each fleet has one supervisor (``fleet.py``) that makes what runs equal
to what is wished for; ``process.py`` starts, adopts and ends one worker process; ``ping.py`` speaks to it;
``folders.py`` says where everything lies. Workers have sessions of their own and outlive the controller: what is
needed to adopt them is on disk before they start.
"""
