"""Autoscaling decisions: pure functions of target, policies, state, observation and time."""
