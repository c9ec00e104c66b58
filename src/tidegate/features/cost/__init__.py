"""What a deployment costs over a year of traffic, and which commitment pays: pure."""
