"""Live runs: what is shown on throw-away endpoints of this very server, with requests that it sends itself."""
