"""The pages, and the program that writes the last run's numbers into them.

Read first: __main__.py.
"""
