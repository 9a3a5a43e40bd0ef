"""Trees that are a split are refused with the setting that takes them, and taken with it."""

from pathlib import Path

import pytest

from stemtune.core import files, params
from stemtune.core.settings.frames import SplitFolders
from stemtune.ingest import clips, layout
from tests.support.project import ROOT


def tree(*folders: str) -> list[str]:
    return [f"{folder}/{number}.mp4" for folder in folders for number in range(2)]


def crossed(splits: str, above: bool = True) -> list[str]:
    pairs = [(split, label) for split in splits.split() for label in ("dive", "swim")]
    return tree(*(f"{s}/{label}" if above else f"{label}/{s}" for s, label in pairs))


def refused(names: list[str]) -> str:
    with pytest.raises(layout.LayoutError) as error:
        layout.places(names, None, ())
    return str(error.value)


@pytest.mark.parametrize(
    ("splits", "setting"),
    [
        ("train val test", '{"train": "train", "validation": "val", "test": "test"}'),
        (
            "Training VALID Testing",
            '{"train": "Training", "validation": "VALID", "test": "Testing"}',
        ),
        (
            "train_set dev test-set",
            '{"train": "train_set", "validation": "dev", "test": "test-set"}',
        ),
        ("train2017 val2017", '{"train": "train2017", "validation": null, "test": "val2017"}'),
        ("TRAIN test", '{"train": "TRAIN", "validation": null, "test": "test"}'),
    ],
)
@pytest.mark.parametrize("above", [True, False])
def test_the_setting_that_is_named_takes_the_tree(splits: str, setting: str, above: bool) -> None:
    names = crossed(splits, above)
    said = refused(names)
    assert setting in said
    assert ("trained as classes" in said) == above
    block = files.parse_yaml(said[said.index("extract_frames:\n") :].split("\n\n")[0], "advice")
    folders = SplitFolders.model_validate(block["extract_frames"]["split"]["folders"])
    found = layout.places(names, folders, ())
    assert {place.label for place in found} == {"dive", "swim"}
    wanted = {name: split for split, name in folders.model_dump().items() if name is not None}
    for name, place in zip(names, found, strict=True):
        assert wanted[name.split("/")[not above]] == place.split


@pytest.mark.parametrize("names", [tree("train", "bus", "test bench"), tree("train/a", "bus/b")])
def test_classes_that_are_called_like_a_split_are_classes(names: list[str]) -> None:
    assert {place.split for place in layout.places(names, None, ())} == {""}


def test_folders_that_are_listed_as_classes_are_classes() -> None:
    found = layout.places(tree("train", "test"), None, ["train", "test", "bus"])
    assert {place.label for place in found} == {"train", "test"}


def test_what_cannot_be_told_is_left_to_people() -> None:
    assert "choose one of dev and val" in refused(crossed("train val dev test"))
    assert "no folder of a class yet" in refused(tree("train", "test"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([*crossed("train test"), *tree("more/dive")], "2 of 10 clips are not in .*: more/dive/0"),
        ([*crossed("train test"), "test/1.mp4"], "1 of 9 clips are not in .*: test/1.mp4"),
        (crossed("train val"), "4 of 8 clips are not in .*: val/dive/0.mp4"),
        (crossed("train"), "there are no clips in test"),
        (tree("train/dive", "test/dive"), "1 class, dive"),
    ],
)
def test_a_tree_that_does_not_fit_the_setting_is_refused(names: list[str], said: str) -> None:
    folders = SplitFolders(train="train", validation=None, test="test")
    with pytest.raises(layout.LayoutError, match=said):
        layout.places(names, folders, ())


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["dive", "swim", "row"], "lists; without clips: row. Rename"),
        (["dive", "row"], "without clips: row; in data/ and not in the list: swim. Rename"),
        (["dive"], "lists; in data/ and not in the list: swim. Rename"),
    ],
)
def test_data_have_to_consist_of_the_classes_that_are_listed(
    classes: list[str], said: str, tmp_path: Path
) -> None:
    settings = params.load(ROOT / "params.yaml").extract_frames
    for name in tree("dive", "swim"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    good = settings.model_copy(update={"classes": ["swim", "dive"]})
    assert len(clips.find(tmp_path, good)) == 4
    with pytest.raises(layout.LayoutError, match=said):
        clips.find(tmp_path, settings.model_copy(update={"classes": classes}))
