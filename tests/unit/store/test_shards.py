"""Shards keep every byte, are read by TensorFlow too, and damage is noticed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stemtune.core import files
from stemtune.store import embeddings, shards
from stemtune.training import dataset

FRAMES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), np.uint8)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = shards.path_of(tmp_path, "one")
    shards.write(path, FRAMES)
    return path


def test_frames_come_back_whole_and_one_by_one(shard: Path) -> None:
    assert np.array_equal(shards.read(shard, (8, 8, 3), "uint8"), FRAMES)
    for index in (4, 0, 2):
        assert np.array_equal(shards.read_frame(shard, index, (8, 8, 3), "uint8"), FRAMES[index])
    assert [path.name for path in shard.parent.iterdir()] == ["one.tfrecord"]


def test_tensorflow_reads_them_as_tfrecords(shard: Path) -> None:
    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
    assert records == [frame.tobytes() for frame in FRAMES]


@pytest.mark.parametrize("position", [3, 9, 40, -2])
def test_a_changed_byte_is_noticed(shard: Path, position: int) -> None:
    content = bytearray(shard.read_bytes())
    content[position] ^= 1
    shard.write_bytes(content)
    assert not shards.is_whole(shard, (8, 8, 3), "uint8")
    with pytest.raises(shards.ShardError, match=r"one.tfrecord.*delete it"):
        shards.read(shard, (8, 8, 3), "uint8")


def test_a_cut_shard_and_another_shape_are_noticed(shard: Path) -> None:
    assert not shards.is_whole(shard, (9, 8, 3), "uint8")
    with pytest.raises(shards.ShardError, match="no frame 5"):
        shards.read_frame(shard, 5, (8, 8, 3), "uint8")
    shard.write_bytes(shard.read_bytes()[:-1])
    assert not shards.is_whole(shard, (8, 8, 3), "uint8")
    assert not shards.is_whole(shard.with_name("none"), (8, 8, 3), "uint8")


def test_a_failed_write_leaves_what_was_there(shard: Path) -> None:
    class Failing(list[np.ndarray]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield FRAMES[0]
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        shards.write(shard, Failing())  # type: ignore[arg-type]
    assert np.array_equal(shards.read(shard, (8, 8, 3), "uint8"), FRAMES)
    assert [path.name for path in shard.parent.iterdir()] == ["one.tfrecord"]


def test_only_the_named_shards_are_kept(shard: Path) -> None:
    shards.write(shards.path_of(shard.parent, "two"), FRAMES)
    (shard.parent / "a folder").mkdir()
    shards.remove_others(shard.parent, keep={"two"})
    assert [path.name for path in shard.parent.iterdir()] == ["two.tfrecord"]


def leave_litter(folder: Path) -> set[str]:
    """Leaves in a folder what systems do; returns the names."""
    for name in (".DS_Store", "Thumbs.db", "._one.tfrecord", "desktop.ini"):
        (folder / name).write_bytes(b"litter")
    for name in ("@eaDir", "__MACOSX"):
        (folder / name).mkdir()
        (folder / name / "1").write_bytes(b"litter")
    return {path.name for path in folder.iterdir()}


def test_what_systems_leave_in_folders_of_ours_is_let_alone(tmp_path: Path) -> None:
    leave_litter(tmp_path)
    identity = embeddings.Identity(features=2, weights="random", threads=1)
    embeddings.remove_other_backbones(tmp_path, ["net"])
    embeddings.prepare(tmp_path, "net", identity, [72, 224])
    side = embeddings.side_folder(tmp_path, "net", 72)
    shards.write(shards.path_of(side, "one"), np.zeros((1, 2), np.float32))
    before = files.checksums(tmp_path)
    for folder in (tmp_path / "net", side):
        leave_litter(folder)
    assert files.checksums(tmp_path) == before
    embeddings.remove_other_backbones(tmp_path, ["net"])
    embeddings.prepare(tmp_path, "net", identity, [72])
    assert embeddings.sides(tmp_path, ["net"]) == [72]
    assert embeddings.missing(side, ["one"], 2) == []
    assert (side / "@eaDir/1").exists()
    # Another network's features go, whatever lies beside them.
    embeddings.remove_other_backbones(tmp_path, ["other"])
    assert not (tmp_path / "net").exists()
    assert (tmp_path / ".DS_Store").exists()


def test_only_features_that_are_missing_are_planned(tmp_path: Path) -> None:
    identity = embeddings.Identity(features=2, weights="random", threads=1)
    wanted = [
        embeddings.Wanted(tmp_path / "all", [224, 72], ["one", "two"]),
        embeddings.Wanted(tmp_path / "tested", [56], ["two"]),
        embeddings.Wanted(tmp_path / "none", [], ["two"]),
    ]
    before = embeddings.plan(wanted, "net", identity)
    for gap in before:
        shards.write(shards.path_of(gap.folder, gap.missing[-1]), np.zeros((1, 2), np.float32))
    assert [(gap.side, gap.missing, gap.kept) for gap in before] == [
        (224, ["one", "two"], 0),
        (72, ["one", "two"], 0),
        (56, ["two"], 0),
    ]
    after = embeddings.plan(wanted, "net", identity)
    assert [(gap.missing, gap.kept) for gap in after] == [(["one"], 1), (["one"], 1), ([], 1)]
    other = embeddings.Identity(features=2, weights="others", threads=1)
    assert [gap.kept for gap in embeddings.plan(wanted, "net", other)] == [0, 0, 0]


def test_features_of_several_views_come_one_view_after_the_other(tmp_path: Path) -> None:
    identity = embeddings.Identity(features=3, weights="random", threads=1)
    frames = np.random.default_rng(1).integers(0, 256, (5, 40, 40, 3), np.uint8)
    clips = {"one": frames[:2], "two": frames[2:]}
    for name, clip in clips.items():
        shards.write(shards.path_of(tmp_path / "frames", name), clip)
    wanted = embeddings.Wanted(tmp_path / "all", [40], list(clips), range(1, 3))
    [gap] = embeddings.plan([wanted], "net", identity)

    def corner(shown: np.ndarray) -> np.ndarray:
        return shown[:, 0, 0].astype(np.float32)

    assert embeddings.fill(gap, tmp_path / "frames", 40, corner, clips=2) == 10
    [whole] = embeddings.plan([wanted], "net", identity)
    assert not whole.missing
    rows = pd.DataFrame({"shard": ["two", "two", "one"], "index": [2, 0, 1], "label": [0, 1, 2]})
    shown = frames[[4, 2, 1]]
    expected = np.concatenate([shown[:, 0, -1], shown[:, 2, 0]])
    found = dataset.load_features(tmp_path / "all", ["net"], 40, rows)
    assert np.array_equal(found.features, expected)
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    # Of other views nothing is taken over.
    other = embeddings.Wanted(tmp_path / "all", [40], list(clips), range(1, 2))
    assert [gap.kept for gap in embeddings.plan([other], "net", identity)] == [0]
