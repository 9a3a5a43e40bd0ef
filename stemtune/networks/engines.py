"""Engines for networks: all of their processes, and this one, are configured alike."""

from functools import partial

from stemtune.core.settings.running import Runtime
from stemtune.engine import choice
from stemtune.engine.engine import Engine
from stemtune.networks import reproducibility


def choose(runtime: Runtime) -> Engine:
    """Returns the engine that the user chose; imports and configures TensorFlow here, too.

    Args:
        runtime: Threads and seed.

    Raises:
        InputError: As `choice.read`.
    """
    configure = partial(reproducibility.configure, runtime)
    engine = choice.choose(runtime.threads, configure)
    configure()
    return engine
