"""A backbone of two layers, which a test's copy of the project knows besides its own."""

from pathlib import Path

NAME = "small"
# As block embed_frames of params.yaml.
SETTINGS: dict[str, object] = {"backbones": [NAME], "weights": {NAME: "random"}}
# By module of the project, what is added at its end. At 96 px it takes four times what a stem does.
ADDED = {
    "stemtune/networks/weights.py": f'SOURCES["{NAME}"] = SOURCES["efficientnet_lite0"]',
    "stemtune/networks/backbones.py": f'''
def _small(path: Path | None) -> keras.Model:
    if path is not None:
        raise ValueError(f"the small backbone has random weights alone, got {{path}}")
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(24, 7, 2, activation="relu", name="first"),
            keras.layers.Conv2D(48, 3, 2, activation="relu", name="second"),
            keras.layers.GlobalAveragePooling2D(name="pooled"),
        ],
        name="layers",
    )


REGISTRY["{NAME}"] = Backbone(
    32, _small, lambda frames: keras.layers.Rescaling(2.0, -1.0)(frames)
)
''',
}


def register(project: Path) -> None:
    """Adds it to the code in a folder, a copy of this project."""
    for module, lines in ADDED.items():
        with (project / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{lines}\n")
