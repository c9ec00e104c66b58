"""Behind ``make demo``: train four versions of a model, deploy one, try the others on live load."""
