"""Frames, features and the manifest on disk.

In: arrays and tables. Out: one entry per clip, and manifest.parquet. No TensorFlow.
Read first: frame_store.py, then manifest.py.
"""
