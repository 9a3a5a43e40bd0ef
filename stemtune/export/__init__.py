"""Classifiers as LiteRT files, for devices that have no TensorFlow, and what they are worth.

In: stored classifiers, frames. Out: exports/, metrics/export.json, a page.
Read first: conversion.py, then judging.py.
"""
