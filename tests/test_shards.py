"""Shards keep every byte, are read by TensorFlow too, and damage is noticed."""

from pathlib import Path

import numpy as np
import pytest

from stemtune import shards

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
    shards.remove_others(shard.parent, keep={"two"})
    assert [path.name for path in shard.parent.iterdir()] == ["two.tfrecord"]
