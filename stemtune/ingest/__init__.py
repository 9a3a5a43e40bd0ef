"""From a data folder to the frame store and the manifest, checked.

In: data/ and block extract_frames. Out: frames/, manifest.parquet, the verdict on them.
Read first: listing.py, then extraction.py and manifest.py.
"""
