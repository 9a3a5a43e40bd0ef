"""Has all models answer on the same frames, scores the answers and compares them.

In: trained models, features, frames. Out: predictions/, metrics/evaluate.json.
Read first: candidates.py, then metrics.py and comparison.py.
"""
