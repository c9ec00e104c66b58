"""From what is known of a model to a deployment that can run, with its price and its reasons: pure."""
