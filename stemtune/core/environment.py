"""What results depend on besides code, data and settings: processor, versions, variables."""

import os
import platform
from importlib import metadata

from stemtune.core import processor, shell

# What results depend on, if it is installed.
LIBRARIES = (
    "av",
    "great-expectations",
    "keras",
    "keras-tuner",
    "numpy",
    "pandas",
    "tensorflow",
    "tensorflow-cpu",
)


def describe() -> dict[str, str]:
    """Returns processor, cores, versions, and variables if any is set."""
    found = {
        "cpu": processor.name(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            # tensorflow and tensorflow-cpu rule each other out.
            continue
    if variables := shell.remaining():
        found["variables"] = variables
    return found
