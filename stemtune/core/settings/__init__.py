"""The blocks of params.yaml: what each may hold.

Read first: block.py, then the stage of interest.
"""
