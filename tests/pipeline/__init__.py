"""Tests that run stages, DVC, CI's script or the benchmarks in projects of their own."""
