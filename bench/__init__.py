"""Measurements against what people would use instead, as ratios; `make bench` prints them."""
