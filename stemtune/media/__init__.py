"""From a file to frames: pictures with Pillow, videos with PyAV.

In: a path and limits. Out: RGB squares and when each is shown. Knows no class, no split.
Read first: decoding.py, then sandbox.py, through which others have clips decoded.
"""
