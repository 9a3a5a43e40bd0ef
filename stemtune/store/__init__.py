"""Frames, features and the manifest on disk.

In: arrays and tables. Out: one shard per clip, and manifest.parquet. No TensorFlow.
Read first: manifest.py, then shards.py.
"""
