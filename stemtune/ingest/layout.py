"""How a data folder is laid out: which of a path's folders is the class, and which the split."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence, Set
from typing import NamedTuple

from stemtune.core import printable
from stemtune.core.errors import InputError
from stemtune.core.settings.frames import SplitFolders
from stemtune.core.text import composed, differing_by_spelling
from stemtune.ingest import words
from stemtune.store.manifest import TEST, TRAIN, VALIDATION

SETTING = "extract_frames.split.folders"
CLASSES = "extract_frames.classes"
# Names that people give to the folder of a split: train, Training_set, val2017, test images, …
NAMES = {TRAIN: "train|training|trn", VALIDATION: "validation|valid|val|dev", TEST: "testing|test"}
ADDED = r"[\W_]*(set|data|split|images?|videos?|clips|frames)?[\W_]*\d*"


class LayoutError(InputError):
    """The folders are not as the settings have them, or look like something else than classes."""


class Place(NamedTuple):
    """Where a clip belongs by its path: its class, and its split if folders say so, else empty."""

    label: str
    split: str


def places(
    names: Sequence[str], folders: SplitFolders | None, classes: Collection[str]
) -> list[Place]:
    """Returns where each clip belongs by its name.

    Args:
        names: Paths below the data folder, each in at least one folder.
        folders: The folders that are splits, if there are such.
        classes: Names that are classes for sure, whatever they look like.

    Raises:
        LayoutError: The folders do not fit the setting; or without one they look like splits; or
            one class has two folders that are spelled differently; or there is a single class.
    """
    above = [[composed(folder) for folder in name.split("/")[:-1]] for name in names]
    if folders is None:
        _refuse_splits(above, classes)
        found = [Place(first, "") for first, *_ in above]
    else:
        found = _by_folders(names, above, folders)
    labels = {place.label for place in found}
    _refuse_two_spellings(labels.difference(classes))
    if len(labels) == 1:
        raise LayoutError(_too_few(labels.pop(), above))
    return found


def _by_folders(
    names: Sequence[str], above: Sequence[list[str]], folders: SplitFolders
) -> list[Place]:
    setting = _flow(folders.train, folders.validation, folders.test)
    splits = {composed(folders.train): TRAIN, composed(folders.test): TEST}
    if folders.validation is not None:
        splits[composed(folders.validation)] = VALIDATION
    split_first = not all(len(each) > 1 and each[1] in splits for each in above)
    split_first = split_first or all(each[0] in splits for each in above)
    at, other = (0, 1) if split_first else (1, 0)
    odd = [
        name
        for name, each in zip(names, above, strict=True)
        if len(each) < 2 or each[at] not in splits
    ]
    if odd:
        raise LayoutError(
            f"{SETTING} is {setting}, and {len(odd)} of {len(names)} clips are not in "
            f"data/<split>/<class>/: {words.some(odd)}; move them there or out of data/, or change "
            "the setting in params.yaml. (Or have all clips in data/<class>/<split>/)"
        )
    if empty := set(splits) - {each[at] for each in above}:
        raise LayoutError(
            f"{SETTING} is {setting}, and there are no clips in {words.some(sorted(empty))}; put "
            "them there, or change the setting in params.yaml (with validation: null it is split "
            "off train)"
        )
    return [Place(each[other], splits[each[at]]) for each in above]


def _refuse_splits(above: Sequence[list[str]], classes: Collection[str]) -> None:
    """Raises LayoutError if what looks like a split would be taken for classes, or ignored."""
    first = {each[0] for each in above}
    below: dict[str, set[str]] = defaultdict(set)
    for each in above:
        below[each[0]].update(each[1:2])
    if len(splits := splits_called(first)) > 1 and not first <= set(classes):
        where, taken = "data/", "would be trained as classes"
        instead = f"If they are classes, list all classes in {CLASSES}."
        if not any(below[name] for names in splits.values() for name in names):
            instead += " The clips in them have no folder of a class yet: data/<split>/<class>/."
    elif sum(len(splits_called(inner)) > 1 for inner in below.values()) > 1:
        splits = splits_called(set().union(*below.values()))
        where, taken = "data/<class>/", "would be ignored"
        instead = "To split them again, move the clips up into data/<class>/."
    else:
        return
    found = [name for names in splits.values() for name in names]
    raise LayoutError(
        f"the folders {words.some(found)} in {where} look like a split, and {taken}. To take the "
        "split as it is, set in params.yaml\n\n"
        f"extract_frames:\n  split:\n    folders: {_advised(splits)}\n\n{instead}"
    )


def splits_called(folders: Iterable[str]) -> dict[str, list[str]]:
    """Returns the folders that are called as a split is, by split."""
    found: dict[str, list[str]] = {}
    for split, names in NAMES.items():
        pattern = re.compile(f"({names}){ADDED}", flags=re.IGNORECASE)
        if called := sorted(name for name in folders if pattern.fullmatch(name)):
            found[split] = called
    return found


def _advised(splits: dict[str, list[str]]) -> str:
    """Returns the setting that takes these folders as splits, with remarks on what is open."""
    train, validation, test = (splits.get(split, []) for split in NAMES)
    remarks = [f"choose one of {' and '.join(names)}" for names in splits.values() if names[1:]]
    if not train:
        remarks.append("write the folder of the clips to train on")
    if not test:
        validation, test = [], validation
    if not validation:
        remarks.append("validation is split off train")
    setting = _flow(*(names[0] if names else None for names in (train, validation, test)))
    return setting + (f" # {'; '.join(remarks)}" if remarks else "")


def _flow(train: str | None, validation: str | None, test: str | None) -> str:
    # JSON is YAML.
    setting = {"train": train, "validation": validation, "test": test}
    return json.dumps(setting, ensure_ascii=False)


def require_classes(labels: Set[str], classes: Collection[str]) -> None:
    """Raises LayoutError if the classes of data/ are not all those that a setting lists."""
    wanted = {composed(name) for name in classes}
    if labels == wanted:
        return
    told = [
        f"{what}: {words.some(sorted(names))}"
        for what, names in (
            ("without clips", wanted - labels),
            ("in data/ and not in the list", labels - wanted),
        )
        if names
    ]
    raise LayoutError(
        f"data/ does not consist of the classes that {CLASSES} lists; {'; '.join(told)}. Rename, "
        "add or remove folders of data/, or change the list"
    )


def _refuse_two_spellings(labels: Iterable[str]) -> None:
    if twice := [" and ".join(map(repr, names)) for names in differing_by_spelling(labels)]:
        raise LayoutError(
            f"data/ holds classes that differ by their spelling alone: {words.some(twice, '; ')}; "
            "other systems take some of these for one folder. Put the clips of one class into one "
            f"folder, or list all classes in {CLASSES} if they are different"
        )


def _too_few(label: str, above: Sequence[list[str]]) -> str:
    message = (
        f"data/ holds 1 class, {printable.name(label)}; telling classes apart takes at least two "
        "folders data/<class>/ with clips"
    )
    below = {each[1] for each in above if len(each) > 1}
    if len(below) > 1 and all(len(each) > 1 for each in above):
        message += (
            f". If the folders in it are the classes ({words.some(sorted(below))}), move them up "
            "into data/"
        )
    return message
