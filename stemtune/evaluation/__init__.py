"""Scores models on the test frames, compares them, and draws the report.

In: trained models, features, frames. Out: metrics/evaluate.json, plots/, report/.
Read first: evaluated_models.py, then scoring.py and report.py.
"""
