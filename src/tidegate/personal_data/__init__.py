"""Personal data in texts: what detectors find by its look, and names of fields that say so. Pure."""
