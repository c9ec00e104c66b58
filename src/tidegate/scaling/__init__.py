"""How many instances there should be: pure, ``decide(history, policy, now) -> desired, reason``."""
