"""What every suite may use; each plugin module says what it offers."""

pytest_plugins = ["tests.postgres", "tests.hypothesis_profiles"]
