"""Code that targets at AWS share: settings, calls of its APIs, their errors, policies."""
