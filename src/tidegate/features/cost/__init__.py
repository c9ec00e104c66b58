"""The cost of a deployment over a year of traffic, and which commitment pays. Pure."""
