"""Settings for one occasion, `<name>.yaml`, which go over params.yaml for a run.

Read first: __main__.py.
"""
