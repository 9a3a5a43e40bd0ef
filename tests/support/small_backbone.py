"""A backbone of two layers and its twin, which a test's copy of the project knows as well."""

from pathlib import Path

NAME, TWIN = "small", "small_twin"
# As block embed_frames of params.yaml.
SETTINGS: dict[str, object] = {"backbones": [NAME], "weights": {NAME: "random"}}
# By module of the project, what is added at its end. At 96 px it takes four times what a stem does.
ADDED = {
    "stemtune/networks/weights.py": (
        f'SOURCES["{NAME}"] = SOURCES["{TWIN}"] = SOURCES["efficientnet_lite0"]'
    ),
    "stemtune/networks/backbones.py": f'''
def _small(path: Path | None) -> keras.Model:
    # No file is read, but with one the values are the same whatever the seed of the run.
    first, second = (
        keras.initializers.GlorotUniform(None if path is None else seed) for seed in (1, 2)
    )
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(
                24, 7, 2, activation="relu", kernel_initializer=first, name="first"
            ),
            keras.layers.Conv2D(
                48, 3, 2, activation="relu", kernel_initializer=second, name="second"
            ),
            keras.layers.GlobalAveragePooling2D(name="pooled"),
        ],
        name="layers",
    )


REGISTRY["{NAME}"] = REGISTRY["{TWIN}"] = Backbone(
    32, _small, lambda frames: keras.layers.Rescaling(2.0, -1.0)(frames)
)
''',
}


def register(project: Path) -> None:
    """Adds it to the code in a folder, a copy of this project."""
    for module, lines in ADDED.items():
        with (project / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{lines}\n")
