"""Trains heads on features and stems through the frozen network.

In: features, frames, settings. Out: trained weights and the metrics of each epoch.
Read first: fit.py, then heads.py and stems.py.
"""
