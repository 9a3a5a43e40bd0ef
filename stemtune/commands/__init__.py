"""The command `stemtune`: what one asks of clips and results outside the pipeline.

In: what is typed. Out: a table or JSON on standard output, or a page; an exit code.
Read first: main.py. Modules import what takes long where they need it, so help comes at once.
"""
