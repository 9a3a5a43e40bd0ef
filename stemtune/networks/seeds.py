"""Random starts of layers, each drawn from a seed and the layer's name, never from a global one."""

import random

import keras


def of(seed: int, name: str) -> int:
    """Returns the seed of one use, such as a layer's start; each name gives another."""
    return random.Random(f"{seed} {name}").randrange(2**31)  # noqa: S311


def glorot(seed: int, name: str) -> keras.initializers.Initializer:
    """Returns Keras' usual start of kernels (Glorot and Bengio, 2010), drawn for one layer."""
    return keras.initializers.GlorotUniform(of(seed, name))


def draw(network: keras.Model, seed: int) -> None:
    """Draws all kernels of a network; the other weights start as constants."""
    for number, variable in enumerate(network.weights):
        if variable.name.endswith("kernel"):
            variable.assign(glorot(seed, f"kernel {number}")(variable.shape))
