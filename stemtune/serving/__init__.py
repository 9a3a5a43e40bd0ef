"""A stored classifier at work, outside the pipeline too.

In: a folder that `classifier.save` wrote; frames or clips. Out: probabilities.
Read first: inference.py.
"""
