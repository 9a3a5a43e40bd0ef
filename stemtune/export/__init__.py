"""Classifiers as LiteRT files, for devices without TensorFlow, with their accuracy and times.

In: stored classifiers, frames. Out: exports/, metrics/export.json, a page.
Read first: conversion.py, then judging.py.
"""
