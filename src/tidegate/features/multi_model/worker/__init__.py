"""Many models in one worker: a request names its model, which is loaded at its first request.

``engine.Models`` answers calls. Decisions are in pure modules: ``targets`` (names), ``policy`` (eviction),
``model_canary`` (new versions), ``config``. I/O is in ``repository`` (artifacts), ``disk_cache``, ``builder_pool``
(child processes that read new artifacts), ``memory`` (measuring) and ``crashes``.
"""
