"""What the world does to an extraction costs no clip and no decoding."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from stemtune.core.errors import InputError
from stemtune.core.settings.frames import ExtractFrames
from stemtune.engine.engine import Local
from stemtune.ingest import checksums, clips, extraction, listing, retries
from stemtune.ingest import manifest as ingest_manifest
from stemtune.ingest.clips import Clip, ClipsError
from stemtune.ingest.listing import Listing
from stemtune.ingest.retries import UnreadError
from stemtune.media import decoding
from stemtune.media.sampling import LIMITS, DecodeError, ReadError
from stemtune.media.sandbox import Sandbox
from stemtune.store import frame_store, manifest
from tests.support.clips import WriteClip
from tests.unit.ingest.test_extraction import EXTRACT


@pytest.fixture
def root(tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(retries, "PAUSES", (0.0, 0.0))
    for number, name in enumerate(("dark/0", "dark/1", "light/0")):
        write_clip(f"data/{name}.mp4", [20 + 50 * number, 40 + 50 * number])
    return tmp_path


def extract(root: Path, settings: ExtractFrames = EXTRACT) -> tuple[list[str], list[str]]:
    """Returns the keys that were decoded, and why clips are left out."""
    found = listing.read(root / "data", settings, 1, root / "checksums.json")
    extracted = extraction.extract_all(found.clips, root / "frames", settings, Local(1))
    table = ingest_manifest.build(found, extracted.outcomes, settings)
    return extracted.decoded, [reason for reason in table["quarantined"] if reason]


def failing(times: int, number: int) -> Callable[..., object]:
    """Returns `Sandbox.sample` for clips whose disk fails so many times."""
    sample, left = Sandbox.sample, [times]

    def fail_first(self: Sandbox, clip: Path, *more: Any) -> object:
        if clip.stem == "1" and left[0]:
            left[0] -= 1
            raise ReadError(f"cannot be read: {os.strerror(number)}")
        return sample(self, clip, *more)

    return fail_first


def test_a_wrong_table_is_refused_before_anything_is_decoded_or_hashed(root: Path) -> None:
    (root / "data/groups.csv").write_text("clip,group\ndark/nine.mp4,a\n")
    with pytest.raises(ClipsError, match=r"do not exist: dark/nine\.mp4"):
        extract(root)
    assert not (root / "frames").exists()
    assert not (root / "checksums.json").exists()


def test_a_manifest_that_is_lost_or_fails_costs_no_decoding(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ingest_manifest, "build", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            extract(root)
    # No manifest was written, and there is none to be read.
    assert extract(root) == ([], [])


def test_what_a_disk_did_is_tried_again_and_never_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "sample", failing(2, errno.ESTALE))
        assert extract(root)[1] == []
    shutil.rmtree(root / "frames")
    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "sample", failing(3, errno.EIO))
        with pytest.raises(retries.UnreadError, match=r"dark/1\.mp4 could not be read in 3 tries"):
            extract(root)
    # The others were decoded and are kept.
    assert len(list(root.glob("frames/*/*.npz"))) == 2
    decoded, reasons = extract(root)
    assert (len(decoded), reasons) == (1, [])


def test_a_file_that_is_away_or_changes_is_no_fault_of_its_content(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, away = root / "data/dark/1.mp4", root / "away.mp4"
    limits = EXTRACT.limits
    with pytest.raises(ReadError, match="cannot be read: No such file"):
        decoding.sample_frames(away, 1, 72, limits)
    with Sandbox(limits, 1) as sandbox, pytest.raises(ReadError):
        sandbox.sample(away, 1, 72)
    found = listing.read(root / "data", EXTRACT, 1, root / "checksums.json")
    content = clip.read_bytes()
    clip.write_bytes(content + b"more")
    with pytest.raises(retries.UnreadError, match="changed while it was decoded"):
        extraction.extract_all(found.clips, root / "frames", EXTRACT, Local(1))
    clip.unlink()
    with pytest.raises(retries.UnreadError, match="No such file"):
        extraction.extract_all(found.clips, root / "frames", EXTRACT, Local(1))
    clip.write_bytes(content)
    assert extract(root)[1] == []
    monkeypatch.setattr(checksums, "_checksum", lambda *_: (_ for _ in ()).throw(OSError(5, "EIO")))
    with pytest.raises(retries.UnreadError, match=r"could not be read in 3 tries \(EIO\)"):
        extract(root)


def test_other_libraries_decode_all_clips_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(extract(root)[0]) == 3
    assert extract(root)[0] == []
    for library in ("av 18.1.0", "pillow 13.0.0", "libheif 1.23.6"):
        name = library.split()[0]
        assert re.search(rf"\b{name} \d", decoding.libraries())
        other = re.sub(rf"\b{name} [\d.]+", f"{name} 99", decoding.libraries())
        monkeypatch.setattr(decoding, "libraries", lambda other=other: other)
        assert len(extract(root)[0]) == 3
        monkeypatch.undo()
    # A machine of a cluster with others is refused.
    chunk = extraction.Chunk([], root / "frames", 1, EXTRACT, "av 17")
    with pytest.raises(ValueError, match="other versions of libraries"):
        extraction.decode(chunk)


def test_what_is_refused_for_good_is_an_entry_with_the_reason(root: Path) -> None:
    (root / "data/dark/notes.mp4").write_text("no video")
    decoded, [reason] = extract(root)
    assert len(decoded) == 4
    assert [
        facts.reason
        for facts in frame_store.all_facts(root / "frames", decoded).values()
        if isinstance(facts, frame_store.Refusal)
    ] == [reason]
    assert extract(root) == ([], [reason])


def test_only_what_changed_is_hashed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    sha256 = checksums.files.sha256
    monkeypatch.setattr(checksums.files, "sha256", counted)
    for path in (root / "data").glob("*/*"):
        os.utime(path, (1e9, 1e9))
    (root / "data/dark/new.mp4").write_bytes(b"just written")
    found = clips.find_clips(root / "data")
    first = checksums.add(found, 2, root / "checksums.json")
    assert sorted(hashed) == ["0.mp4", "0.mp4", "1.mp4", "new.mp4"]
    hashed.clear()
    # What was written this moment may be written again at once, with the same size and time.
    assert checksums.add(found, 2, root / "checksums.json") == first
    assert hashed == ["new.mp4"]
    hashed.clear()
    (root / "checksums.json").write_text("{half")
    assert checksums.add(found, 2, root / "checksums.json") == first
    assert len(hashed) == 4


def test_a_clip_that_changes_while_it_is_decoded_is_never_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: Sandbox, clip: Path, *more: Any) -> object:
        clip.write_bytes(clip.read_bytes()[:100])
        raise DecodeError("cannot be decoded: it is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "sample", cut)
        with pytest.raises(
            UnreadError, match=r"dark/0\.mp4 changed while it was decoded: run again"
        ):
            extract(root)
    assert not [*(root / "frames").rglob("*.npz")]


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(InputError, match=r"manifest\.parquet is damaged .*; delete it"):
        manifest.read(tmp_path / "manifest.parquet")


def test_what_a_library_keeps_back_of_a_disk_is_no_fault_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "noise.jp2"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    PIL.Image.fromarray(noise).save(path)

    class Failing(FileIO):
        def readinto(self, buffer: Any, /) -> int | None:
            if self.tell():
                raise OSError(errno.EIO, "Input/output error")
            return super().readinto(buffer)

    class Disk(decoding.Disk, Failing):
        """A disk whose reads fail below what notes it."""

    monkeypatch.setattr(decoding, "Disk", Disk)
    with pytest.raises(ReadError, match="Input/output error"):
        decoding.sample_frames(path, 1, 32, LIMITS)


def test_checksums_are_kept_while_others_are_computed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256, memory = checksums.files.sha256, root / "checksums.json"
    monkeypatch.setattr(checksums, "NOTED_SECONDS", 0)
    seen: list[Path] = []

    def hashed(path: Path) -> str:
        if len(seen) == 2:
            deadline = time.monotonic() + 30
            while not memory.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert memory.exists()
        seen.append(path)
        return sha256(path)

    monkeypatch.setattr(checksums.files, "sha256", hashed)
    checksums.add(clips.find_clips(root / "data"), 1, memory)


def test_a_table_that_is_a_link_to_nothing_is_not_left_out_in_silence(root: Path) -> None:
    (root / "data/groups.csv").symlink_to(root / "gone.csv")
    with pytest.raises(ClipsError, match=r"links to nothing: groups\.csv"):
        extract(root)


def test_a_clip_that_is_left_out_puts_no_others_into_one_group() -> None:
    found = [Clip(f"a/{name}.mp4", Path(name), "a", name * 64, "") for name in "xyz"]
    dark, light = "0" * 16, "f" * 16
    hashes = {"x": [dark] * 2, "y": [light] * 2, "z": [dark, light]}
    outcomes = {
        extraction.key_of(clip, EXTRACT): frame_store.Measurements(
            frame_seconds=[0.0, 1.0], frame_side=EXTRACT.size, available=2, width=9, height=9,
            duration=1.0, brightness=9.0, contrast=9.0, hashes=hashes[clip.sha256[0]],
        )
        for clip in found
    }  # fmt: skip
    given = {"a/x.mp4": "train", "a/y.mp4": "test"}
    for lists, groups in ((given, 3), (given | {"a/z.mp4": "train"}, 1)):
        table = ingest_manifest.build(Listing(found, {}, lists), outcomes, EXTRACT)
        assert table["group"].nunique() == groups
