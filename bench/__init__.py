"""Measurements against what people would use instead, as ratios; `make bench` prints them.

One subject per module, with `measure(size)` that returns its rows and the sizes `FULL`, which is
what is reported, and `TINY`, which shows in little time that the benchmark still works.
"""
