"""The library that the pipeline's stages are made of, one subject per module.

Importing it is cheap: TensorFlow, MLflow and Great Expectations load only in the modules that
need them.
"""
