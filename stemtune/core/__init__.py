"""What every part needs: settings, places, records, and how a stage runs and fails.

In: params.yaml. Out: typed settings, run records, whole files. Imports nothing else of stemtune.
Read first: params.py, then records.py.
"""
