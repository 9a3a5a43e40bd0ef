"""From clips to shards and manifest: what is decoded, reused, quarantined and refused."""

import time
from pathlib import Path

import pandas as pd
import pytest

from stemtune import clips, expectations, extraction, manifest, params
from stemtune.executor import map_clips
from tests.conftest import ROOT, WriteClip

EXTRACT = params.load(ROOT / "params.yaml").extract_frames.model_copy(update={"size": 72})


@pytest.fixture
def data(tmp_path: Path, write_clip: WriteClip) -> Path:
    for number in range(3):
        for label, level in (("dark", 20), ("light", 150)):
            levels = [level + number + 10 * frame for frame in range(6)]
            write_clip(f"data/{label}/{number}.mp4", levels)
    return tmp_path / "data"


def extract(data: Path) -> tuple[pd.DataFrame, int]:
    store = data.parent / "frames"
    path = data.parent / "manifest.parquet"
    found = clips.find_clips(data)
    outcomes, decoded = extraction.extract_all(
        found, store, extraction.measurements(path), EXTRACT, workers=2
    )
    names = [extraction.shard_name(clip, EXTRACT) for clip in found]
    table = extraction.make_manifest(found, names, outcomes, EXTRACT.split)
    manifest.write(table, path)
    return manifest.read(path), decoded


def test_only_what_is_new_is_decoded(data: Path, write_clip: WriteClip) -> None:
    table, decoded = extract(data)
    assert decoded == len(table) == 6
    before = (data.parent / "manifest.parquet").read_bytes()
    store = data.parent / "frames"
    shards = {path.name: path.read_bytes() for path in store.iterdir()}
    _, decoded = extract(data)
    assert decoded == 0
    assert (data.parent / "manifest.parquet").read_bytes() == before

    write_clip("data/dark/new.mp4", [70, 80, 90])
    (data / "light/0.mp4").rename(data / "light/renamed.mp4")
    removed = table[table["clip"] == "light/1.mp4"]["shard"].item()
    (data / "light/1.mp4").unlink()
    table, decoded = extract(data)
    assert decoded == 1
    assert "light/renamed.mp4" in set(table["clip"])
    after = {path.name: path.read_bytes() for path in store.iterdir()}
    assert f"{removed}.tfrecord" not in after
    assert len(after) == 6
    assert all(after[name] == content for name, content in shards.items() if name in after)


def test_a_damaged_shard_is_decoded_again(data: Path) -> None:
    extract(data)
    shard = next((data.parent / "frames").iterdir())
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-5])
    _, decoded = extract(data)
    assert decoded == 1
    assert shard.read_bytes() == whole


def test_no_clip_changes_its_split_when_others_come_and_go(
    data: Path, write_clip: WriteClip
) -> None:
    before = extract(data)[0].set_index("clip")["split"]
    for number in range(5):
        write_clip(f"data/dark/more {number}.mp4", [30 + number, 90])
    after = extract(data)[0].set_index("clip")["split"]
    assert after[before.index].equals(before)


def test_a_clip_that_cannot_be_decoded_is_listed_with_the_reason(data: Path) -> None:
    (data / "dark/broken.mp4").write_bytes(b"not a video")
    table, _ = extract(data)
    broken = table[table["clip"] == "dark/broken.mp4"].iloc[0]
    assert "cannot be decoded" in broken["quarantined"]
    assert broken["shard"] == ""
    frames = manifest.frame_table(table)
    assert set(frames["clip"]) == set(table["clip"]) - {"dark/broken.mp4"}
    assert frames.groupby("clip")["index"].apply(list).iloc[0] == [0, 1, 2, 3]


def failures(table: pd.DataFrame, **limits: object) -> str:
    results = expectations.check(table, EXTRACT.model_copy(update=limits))
    with pytest.raises(expectations.ExpectationsError) as error:
        expectations.require(results)
    return str(error.value)


def dealt(table: pd.DataFrame) -> pd.DataFrame:
    """Deals the clips of each class to the three splits, one each."""
    splits = [manifest.SPLITS[int(name[-5])] for name in table["clip"]]
    frames = [[split] * 4 for split in splits]
    return table.assign(split=splits, frame_splits=frames)


def test_great_expectations_says_in_words_what_is_wrong(data: Path) -> None:
    table = dealt(extract(data)[0])
    good = expectations.check(table, EXTRACT)
    assert all(result.holds for result in good)
    expectations.require(good)

    said = failures(table, min_clips=2)
    assert "each class has at least 2 clip(s) in each split" in said
    assert "class dark, split train, clips 1" in said
    assert "quarantined" not in said

    one_group = failures(table.assign(group="home"))
    assert "no group has frames in two splits; found group home" in one_group
    one_content = failures(table.assign(sha256="same"))
    assert "no content stands in two classes" in one_content
    broken = table.assign(quarantined=["bad", *[""] * 5])
    assert "at most 5% of the clips are quarantined; found 0.167" in failures(broken)


def job(item: str) -> str:
    if item == "refused":
        raise LookupError("not this one")
    if item == "slow":
        time.sleep(60)
    if item == "crash":
        import os

        os._exit(7)
    return item.upper()


def test_a_clip_that_crashes_or_hangs_costs_itself_alone() -> None:
    items = ["a", "refused", "crash", "b", "slow", "c"]
    outcomes = list(map_clips(job, items, 2, 4.0, LookupError, "testing"))
    assert outcomes[0::5] == ["A", "C"]
    assert outcomes[1] == "not this one"
    assert "exit code 7" in outcomes[2]
    assert outcomes[3] == "B"
    assert "longer than 4 s" in outcomes[4]
