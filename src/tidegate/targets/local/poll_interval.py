"""How long a fleet's supervisor waits between two turns."""

BUSY_TURN = 0.05
"""Seconds between turns while replicas start or drain: bounds how late a ready replica is noticed."""
MEASURED_TURN = 0.1
"""Seconds between turns of a serverless fleet with replicas: how soon it grows."""
MOST_MEASURED = 300
"""Turns of all such fleets together in a second. With more than 30 of them each has its turn later: hundreds that
look ten times a second would leave the controller no time for anything else."""
IDLE_TURN = 1.0
REST_TURN = 120.0
"""Seconds between turns of a fleet at rest, at which ``RestWatch`` looks every ``IDLE_TURN``."""
FILES_TURN = 5.0
"""Seconds between looks whether the files of a fleet are still there."""
TROUBLE_TURN = 0.5
"""Seconds until the next turn when something could not be done."""
UNWELL_TURN = 0.25
"""Seconds between turns while a replica that was ready cannot answer."""


def measured_turn(fleets: int) -> float:
    """Seconds between turns of each of so many serverless fleets with replicas."""
    return max(MEASURED_TURN, fleets / MOST_MEASURED)
