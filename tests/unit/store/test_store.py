"""Entries and features keep every byte, numpy reads them too, and damage is noticed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stemtune.core import files
from stemtune.store import arrays, embeddings, frame_store
from stemtune.store.frame_store import Measurements, Refusal
from stemtune.training import dataset

FRAMES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), np.uint8)
FACTS = Measurements(frame_seconds=[0.5] * 5, hashes=["00ff"])


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    frame_store.write(tmp_path, "one", FACTS, FRAMES)
    return tmp_path / "on/one.npz"


def test_an_entry_holds_frames_and_what_is_known_and_numpy_reads_it(
    entry: Path, tmp_path: Path
) -> None:
    assert np.array_equal(frame_store.read(tmp_path, "one", 8), FRAMES)
    for index in (4, 0, 2):
        assert np.array_equal(frame_store.read_frame(tmp_path, "one", index, 8), FRAMES[index])
    with np.load(entry) as loaded:
        assert np.array_equal(loaded["3"], FRAMES[3])
    frame_store.write(tmp_path, "other", Refusal("is no video"), [])
    known = {"one": FACTS, "other": Refusal("is no video")}
    assert frame_store.all_facts(tmp_path, ["none", "one", "other"]) == known
    before = entry.read_bytes()
    frame_store.write(tmp_path, "one", FACTS, FRAMES)
    assert entry.read_bytes() == before


def test_a_changed_byte_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    frame_store.write(tmp_path, "one", FACTS, FRAMES[:1, :2, :2])
    entry = tmp_path / "on/one.npz"
    whole = entry.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        content = bytearray(whole)
        content[position] ^= 129
        entry.write_bytes(content)
        try:
            # Some bytes say nothing: times, and who made the file.
            assert np.array_equal(frame_store.read(tmp_path, "one", 2), FRAMES[:1, :2, :2])
        except arrays.DamagedError as error:
            assert "one.npz is not as it was written" in str(error)  # noqa: PT017
            noticed += 1
        assert frame_store.facts(tmp_path, "one") in (None, FACTS)
    assert noticed > len(whole) / 5


def test_a_cut_entry_and_another_shape_are_noticed(entry: Path, tmp_path: Path) -> None:
    with pytest.raises(arrays.DamagedError, match="where 9 px are expected"):
        frame_store.read(tmp_path, "one", 9)
    with pytest.raises(arrays.DamagedError, match=r"one.npz .*delete it and `dvc repro`"):
        frame_store.read_frame(tmp_path, "one", 5, 8)
    entry.write_bytes(entry.read_bytes()[:-1])
    assert frame_store.all_facts(tmp_path, ["one"]) == {}


def test_a_failed_write_leaves_what_was_there(
    entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        frame_store.write(tmp_path, "one", FACTS, FRAMES[:2])
    assert np.array_equal(frame_store.read(tmp_path, "one", 8), FRAMES)
    assert [path.name for path in entry.parent.iterdir()] == ["one.npz"]


def test_only_the_named_entries_are_kept(entry: Path, tmp_path: Path) -> None:
    for key in ("once", "two"):
        frame_store.write(tmp_path, key, FACTS, FRAMES)
    (tmp_path / "a folder").mkdir()
    # As an earlier version laid them out.
    (tmp_path / "three.tfrecord").write_bytes(b"")
    arrays.remove_others(tmp_path, keep={"once"})
    assert [path.name for path in tmp_path.rglob("*")] == ["on", "once.npz"]


def leave_litter(folder: Path) -> set[str]:
    """Leaves in a folder what systems do; returns the names."""
    for name in (".DS_Store", "Thumbs.db", "._one.npz", "desktop.ini"):
        (folder / name).write_bytes(b"litter")
    for name in ("@eaDir", "__MACOSX"):
        (folder / name).mkdir()
        (folder / name / "1").write_bytes(b"litter")
    return {path.name for path in folder.iterdir()}


def write_features(folder: Path, key: str) -> None:
    arrays.write(arrays.path_of(folder, key), features=np.zeros((1, 2), np.float32))


def test_what_systems_leave_in_folders_of_ours_is_let_alone(tmp_path: Path) -> None:
    leave_litter(tmp_path)
    identity = embeddings.Identity(features=2, weights="random", threads=1)
    embeddings.remove_other_backbones(tmp_path, ["net"])
    embeddings.prepare(tmp_path, "net", identity, [72, 224])
    side = embeddings.side_folder(tmp_path, "net", 72)
    write_features(side, "one")
    before = files.checksums(tmp_path)
    for folder in (tmp_path / "net", side):
        leave_litter(folder)
    assert files.checksums(tmp_path) == before
    embeddings.remove_other_backbones(tmp_path, ["net"])
    embeddings.prepare(tmp_path, "net", identity, [72])
    assert embeddings.sides(tmp_path, ["net"]) == [72]
    lacking, _ = embeddings.plan([embeddings.Wanted(tmp_path, [72], ["one"])], "net", identity)
    assert not lacking
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
    lacking, kept = embeddings.plan(wanted, "net", identity)
    sides = {key: [target.side for target in targets] for key, targets in lacking.items()}
    assert sides == {"one": [224, 72], "two": [224, 72, 56]}
    assert {target.side: count for target, count in kept.items()} == {224: 0, 72: 0, 56: 0}
    for target in lacking.pop("two"):
        write_features(target.folder, "two")
    after, kept = embeddings.plan(wanted, "net", identity)
    assert after == lacking
    assert {target.side: count for target, count in kept.items()} == {224: 1, 72: 1, 56: 1}
    other = embeddings.Identity(features=2, weights="others", threads=1)
    assert not any(embeddings.plan(wanted, "net", other)[1].values())


def test_features_of_several_views_come_one_view_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each entry is read once, for all sides and views."""
    identity = embeddings.Identity(features=3, weights="random", threads=1)
    frames = np.random.default_rng(1).integers(0, 256, (5, 40, 40, 3), np.uint8)
    reads: list[str] = []
    clips = {"one": frames[:2], "two": frames[2:]}
    for name, clip in clips.items():
        frame_store.write(tmp_path / "frames", name, FACTS, clip)
    wanted = [
        embeddings.Wanted(tmp_path / "all", [40, 20], list(clips), range(1, 3)),
        embeddings.Wanted(tmp_path / "more", [40], ["one"]),
    ]
    lacking, _ = embeddings.plan(wanted, "net", identity)

    def corner(shown: np.ndarray) -> np.ndarray:
        return shown[:, 0, 0].astype(np.float32)

    read = frame_store.read

    def counted(folder: Path, key: str, side: int) -> np.ndarray:
        reads.append(key)
        return read(folder, key, side)

    monkeypatch.setattr(frame_store, "read", counted)
    assert embeddings.fill(tmp_path / "frames", 40, lacking, lambda _: corner, clips=2) == 22
    assert reads == ["one", "two"]
    assert not embeddings.plan(wanted, "net", identity)[0]
    rows = pd.DataFrame({"shard": ["two", "two", "one"], "index": [2, 0, 1], "label": [0, 1, 2]})
    shown = frames[[4, 2, 1]]
    expected = np.concatenate([shown[:, 0, -1], shown[:, 2, 0]])
    found = dataset.load_features(tmp_path / "all", ["net"], 40, rows)
    assert np.array_equal(found.features, expected)
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    # Of other views nothing is taken over.
    other = embeddings.Wanted(tmp_path / "all", [40], list(clips), range(1, 2))
    assert not any(embeddings.plan([other], "net", identity)[1].values())
