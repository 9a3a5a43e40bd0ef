"""Where the work inside a stage runs: in this process, or on the machines of a Ray cluster.

In: a function and chunks of clips. Out: the function's result for each chunk, in order. No stage's
settings: where work runs changes no bit.
Read first: engine.py, then choice.py.
"""
