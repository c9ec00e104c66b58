"""Sequential comparisons of a new version with the old one, valid at every look. Pure."""
