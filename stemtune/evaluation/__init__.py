"""Runs all models on the same frames, scores their answers and compares them.

In: trained models, features, frames. Out: predictions/, metrics/evaluate.json.
Read first: candidates.py, then metrics.py and comparison.py.
"""
