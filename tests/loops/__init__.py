"""Simulates the controller's real loops on virtual time: engine, metrics, alarm evaluation, scaling and recovery.

    python -m tests.loops 4711        # replays one world and prints its timeline

Only the edges are simulated (store, metrics database, target, router, workers, clock, clients), and each of them can
fail. Everything is drawn from one seed, so a world that breaks an invariant can be replayed and shrunk. See
docs/dev/failure-model.md.
"""
