"""Trains heads on cached features and stems through the frozen network, and searches rates.

In: features, frames, settings. Out: trained weights and what each epoch came to.
Read first: trainer.py, then search.py.
"""
