"""All settings in params.yaml, including those that no stage reads."""

from pathlib import Path

from stemtune.core import params
from stemtune.core.params import Params
from stemtune.core.settings.apart import Ci, Track


class AllParams(Params):
    """All of params.yaml."""

    track: Track
    ci: Ci


def load(path: Path = Path("params.yaml")) -> AllParams:
    """Reads and checks params.yaml.

    Raises:
        ParamsError, InputError: As from `params.load_as`.
    """
    return params.load_as(AllParams, path)
