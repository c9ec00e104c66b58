"""Metrics of fleets whose replicas are tidegate's own workers: each worker shows what it counted, second by second,
and any target that can reach its workers collects it here."""
