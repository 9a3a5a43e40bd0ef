"""What is advised where data are not fit to train on can help there."""

import pandas as pd
import pytest

from stemtune.core import params
from stemtune.core.settings.frames import ExtractFrames, SplitFolders, SplitLists
from stemtune.ingest import advice, clips, expectations, groups, splits
from stemtune.store import manifest
from tests.support.project import ROOT

EXTRACT = params.load(ROOT / "params.yaml").extract_frames
LISTS = SplitLists(train="train.txt", test="test.txt")


def by(split: dict[str, object], **other: object) -> ExtractFrames:
    return EXTRACT.model_copy(update={"split": EXTRACT.split.model_copy(update=split), **other})


def table(*rows: tuple[str, str, str], grouped_by: str = groups.BY_FOOTAGE) -> pd.DataFrame:
    """Returns a manifest of clips: name, group, and split or why it is quarantined."""
    return pd.DataFrame(
        {
            "clip": name,
            "class": name.split("/")[0],
            "group": group,
            "grouped_by": grouped_by,
            "sha256": name,
            "shard": name,
            "split": split if split in manifest.SPLITS else "",
            "frame_splits": [split] * 2 if split in manifest.SPLITS else [],
            "frame_side": EXTRACT.size,
            "brightness": float(position),
            "contrast": 50.0,
            "quarantined": "" if split in manifest.SPLITS else split,
        }
        for position, (name, group, split) in enumerate(rows)
    )


def too_few(rows: pd.DataFrame, settings: ExtractFrames = EXTRACT) -> str:
    return " ".join(advice.of("fewest_clips_in_a_split", rows, settings))


def test_footage_that_looks_alike_is_told_apart_by_another_setting() -> None:
    one = table(*[(f"{label}/{number}", "home", "test") for label in "ab" for number in range(20)])
    said = too_few(one)
    assert "40 of 40 clips are one group" in said
    assert "near_duplicates: null, or to a number below 10" in said
    assert "seed:" not in said
    assert "near_duplicates" not in too_few(one.assign(grouped_by=groups.BY_TABLE))
    assert "below" not in too_few(one, EXTRACT.model_copy(update={"near_duplicates": 0}))


def test_a_seed_is_named_that_deals_the_clips_or_none() -> None:
    rows = [
        (f"{label}/{number}", f"{label}{number}", "train") for label in "ab" for number in "123456"
    ]
    said = too_few(table(*rows))
    seed = int(said.split("split.seed: ")[1].split()[0])
    other = EXTRACT.split.model_copy(update={"seed": seed})
    dealt = {(clip[0], splits.split_of(group, other)) for clip, group, _ in rows}
    assert len(dealt) == 6
    few = too_few(table(("a/1", "a1", "train"), ("a/2", "a2", "test"), *rows[6:]))
    assert "No seed below 100" in few
    assert "a has only 2 group(s)" in few
    assert "raise extract_frames.frames_per_clip" in too_few(table(*rows), by({"by": "frame"}))


def test_a_class_that_is_wholly_quarantined_is_told_apart_from_one_that_is_dealt_badly() -> None:
    good = [(f"a/{split}", split, split) for split in manifest.SPLITS]
    said = too_few(table(*good, ("b/1", "b1", "is damaged"), ("b/2", "b2", "is damaged")))
    assert said == (
        "All clips of b are quarantined, for the reasons above: repair them, or take the class out "
        "of data/."
    )


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"lists": LISTS}, "split.lists gives no test clip of a"),
        (
            {"folders": SplitFolders(train="train", validation="val", test="test")},
            "split.folders gives no validation clip of a, no test clip of a",
        ),
    ],
)
def test_a_given_split_that_lacks_a_class_is_told_and_no_seed(
    split: dict[str, object], said: str
) -> None:
    found = too_few(table(("a/1", "a1", "train"), ("a/2", "a2", "train")), by(split))
    assert said in found
    assert "seed" not in found


def test_a_short_split_is_told_by_the_groups_that_are_dealt_to_it() -> None:
    tested = [
        (f"{label}/t{number}", f"{label}t{number}", "test")
        for label in "ab"
        for number in range(50)
    ]
    lone = [("a/1", "a1", "train"), ("b/1", "b1", "train"), ("b/2", "b2", "validation")]
    said = too_few(table(*tested, *lone), by({"lists": LISTS}))
    assert (
        "each of 2 splits (train, validation) 1 clip(s) of each class or more: a has only 1 group"
        in said
    )
    many = [
        (f"{label}/{number}", f"{label}{number}", "train") for label in "ab" for number in range(50)
    ]
    said = too_few(table(*many), by({"validation": 1e-6}))
    assert "validation gets too small a share, 0.0% of the 50 groups" in said
    assert "raise extract_frames.split.validation" in said
    two = by({"lists": LISTS}, min_clips=2)
    said = too_few(table(*many, ("a/t", "at", "test"), ("b/t", "bt", "test"), *tested[50:]), two)
    assert "gives 1 test clip of a where min_clips asks for 2" in said


def test_a_leak_of_a_given_split_names_the_clips_and_the_ways_out() -> None:
    rows = table(("a/1", "home", "train"), ("a/2", "home", "test"), ("a/3", "away", "test"))
    said = " ".join(advice.of("splits_of_group", rows, by({"lists": LISTS})))
    assert "split.lists has clips of one group on two sides: a/1 (train) and a/2 (test)" in said
    assert "split.by: clip" in said
    assert "near_duplicates: null" in said
    named = rows.assign(grouped_by=groups.BY_TABLE)
    said = " ".join(advice.of("splits_of_group", named, by({"lists": LISTS})))
    assert "near_duplicates" not in said
    assert "groups.csv" in said


def test_reasons_of_quarantine_are_counted() -> None:
    rows = table(
        ("a/1", "1", "is damaged"), ("a/2", "2", "is damaged"), ("b/1", "3", clips.LEADS_OUT)
    )
    (said,) = advice.of("quarantined", rows, EXTRACT)
    assert said.startswith("No clip is left to train on.")
    assert "2 clip(s): is damaged; 1 clip(s): is a link" in said
    assert "Copy what links lead to" in said


@pytest.mark.parametrize(
    "rows",
    [
        table(("a/1", "1", "is damaged"), ("b/1", "2", "is dark")),
        table(("a/1", "1", "train"), ("b/1", "2", "is dark")),
        table(("a/1", "1", "train"), ("b/1", "2", "train")),
    ],
    ids=["no clip", "one clip", "one split"],
)
def test_degenerate_manifests_have_a_verdict(rows: pd.DataFrame) -> None:
    results = expectations.check(rows, EXTRACT).results
    with pytest.raises(expectations.ExpectationsError, match="What helps") as error:
        expectations.require(results, "docs.html")
    assert "each class has at least 1 clip(s) in each split" in str(error.value)
