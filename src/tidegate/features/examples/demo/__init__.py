"""Behind ``tidegate demo``: deploy one version of a model, and roll out three others under live load."""
