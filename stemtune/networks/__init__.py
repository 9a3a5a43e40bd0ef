"""The networks: frozen backbones with their weights, the stem, and a classifier made of them.

In: names of backbones, stored weights. Out: Keras models. Imports TensorFlow.
Read first: classifier.py, then stem.py.
"""
