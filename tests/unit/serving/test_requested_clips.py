"""Which clips a request may have opened, and what it is told of the others."""

import base64
import os
import stat
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from stemtune.core.errors import InputError
from stemtune.serving.requested_clips import (
    ServerSettings,
    allowed,
    opened,
    require_few_frames,
    settings_from,
)

CONTENT = bytes(range(256)) * 40
TEXT = base64.b64encode(CONTENT).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips/inner").mkdir(parents=True)
    (tmp_path / "clips/inner/a.mp4").write_bytes(CONTENT)
    (tmp_path / "clips/link.mp4").symlink_to("inner/a.mp4")
    (tmp_path / "clips/out.mp4").symlink_to("../secret.mp4")
    (tmp_path / "clips/loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "clips/up").symlink_to("..")
    (tmp_path / "clips2").mkdir()
    for secret in ("secret.mp4", "clips2/b.mp4"):
        (tmp_path / secret).write_bytes(CONTENT)
    return tmp_path / "clips"


def settings(folder: Path | None, **more: str) -> ServerSettings:
    return settings_from({"STEMTUNE_CLIPS": str(folder or ""), **more})


def test_a_path_below_the_folder_is_opened_and_no_other(folder: Path) -> None:
    below = settings(folder)
    inner = folder / "inner/a.mp4"
    os.mkfifo(folder / "pipe.mp4")
    (folder / "linked").symlink_to("inner")
    for asked in ("inner/a.mp4", "./inner//./a.mp4", str(inner)):
        with opened(asked, below) as clip:
            assert clip.read() == CONTENT
    outside = ["../secret.mp4", str(folder.parent / "secret.mp4"), "out.mp4", "up/secret.mp4"]
    outside += ["../clips2/b.mp4", "nowhere.mp4", "../nowhere.mp4", "loop.mp4", "inner", "", "."]
    outside += [f"file:{inner}", f"file://{inner}", "http://127.0.0.1/a.mp4", "a\0.mp4", "a" * 9000]
    outside += [f"concat:{inner}", "/dev/zero", "/proc/self/environ", TEXT, "~", "%03d.mp4"]
    # Whether what stands before ".." exists is nobody's business.
    outside += [f"{folder}/../secret.mp4/../clips/inner/a.mp4", f"{folder}/nowhere/../inner/a.mp4"]
    outside += ["inner/../inner/a.mp4", "link.mp4", "linked/a.mp4", "pipe.mp4", "/"]
    outside += ["inner/a.mp4/a.mp4", str(folder), "\udcff.mp4", "\ud800.mp4"]
    for asked in outside:
        with pytest.raises(InputError, match=r"^there is no clip '.*' below the folder"):
            opened(asked, below).__enter__()
    assert "A clip is a path below the folder" in allowed(below)


def test_frames_have_limits_as_clips_have() -> None:
    few = settings(None, STEMTUNE_REQUEST_FRAMES="4095", STEMTUNE_PIXELS="100")
    require_few_frames(np.zeros((4095, 10, 10, 3), np.uint8), few)
    with pytest.raises(InputError, match="got 4096 frames; STEMTUNE_REQUEST_FRAMES allows 4095"):
        require_few_frames(np.zeros((4096, 1, 1, 3), np.uint8), few)
    with pytest.raises(InputError, match="got frames of 21 x 5 pixels; STEMTUNE_PIXELS allows 100"):
        require_few_frames(np.zeros((1, 5, 21, 3), np.uint8), few)


def test_a_long_path_costs_nothing(folder: Path) -> None:
    began = time.process_time()
    for asked in ("../" * 200_000 + "a.mp4", "./" * 200_000 + "inner/a.mp4"):
        with pytest.raises(InputError, match="there is no clip"):
            opened(asked, settings(folder)).__enter__()
    # It took 4 s to find out where the first one leads.
    assert time.process_time() - began < 0.5


def test_a_clip_that_is_swapped_for_a_link_while_it_is_opened_leads_nowhere(folder: Path) -> None:
    secret, stop = folder.parent / "secret.mp4", threading.Event()
    secret.write_bytes(b"secret")

    def swap() -> None:
        while not stop.is_set():
            for make in (
                lambda path: path.write_bytes(CONTENT),
                lambda path: path.symlink_to(secret),
            ):
                make(folder / "beside")
                (folder / "beside").replace(folder / "swapped.mp4")

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[bytes] = set()
    until = time.monotonic() + 30
    # Each must have been met, in both places.
    while len(seen) < 2 and time.monotonic() < until:
        for _ in range(200):
            try:
                with opened("swapped.mp4", settings(folder)) as clip:
                    # A decoder reads it later.
                    time.sleep(0.002)
                    seen.add(clip.read())
            except InputError:
                seen.add(b"refused")
    stop.set()
    swapper.join()
    assert seen == {CONTENT, b"refused"}


@pytest.mark.parametrize(
    ("prefix", "with_folder"),
    [
        ("data:;base64,", True),
        ("data:;base64,", False),
        ("data:video/mp4;base64,", True),
        # With a folder it would be a path.
        ("", False),
    ],
)
def test_bytes_lie_in_a_private_file_while_they_are_looked_at(
    folder: Path, prefix: str, with_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # As the program base64 writes it.
    text = base64.encodebytes(CONTENT).decode()
    with opened(prefix + text, settings(folder if with_folder else None)) as clip:
        clip.seek(0)
        assert clip.read() == CONTENT
        assert stat.S_IMODE(os.fstat(clip.fileno()).st_mode) == 0o600
        assert not list(tmp_path.rglob("stemtune-*"))


def test_bytes_with_blanks_take_little_memory() -> None:
    text = "data:;base64," + "AA " * 2_000_000
    tracemalloc.start()
    with opened(text, settings(None)) as clip:
        assert os.fstat(clip.fileno()).st_size == 3_000_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # As words in a list they took twenty times their length.
    assert most < 4 * len(text)


def test_without_a_folder_no_path_is_opened(folder: Path) -> None:
    none = settings(None)
    for asked in (str(folder / "inner/a.mp4"), "a.mp4", "/etc/passwd", "file:///etc/passwd"):
        with pytest.raises(InputError, match="is not the bytes of a clip in base64"):
            opened(asked, none).__enter__()
    for asked, said in (
        ("data:a", "holds no bytes in base64"),
        ("data:text/plain,a", "holds no bytes in base64"),
        ("data:;base64,", "no bytes"),
        ("", "no bytes"),
        ("data:;base64,AAA", "is not the bytes of a clip in base64"),
    ):
        with pytest.raises(InputError, match=said):
            opened(asked, none).__enter__()
    assert "opens no paths, as STEMTUNE_CLIPS names no folder" in allowed(none)


def test_a_clip_larger_than_allowed_is_not_looked_at(folder: Path) -> None:
    (folder / "large.mp4").write_bytes(bytes(2**20 + 10))
    small = settings(folder, STEMTUNE_CLIP_MIB="1")
    for asked in ("large.mp4", "data:;base64," + "A" * (2**20 * 4 // 3 + 20)):
        with pytest.raises(InputError, match="1.0 MiB was asked for; STEMTUNE_CLIP_MIB allows 1"):
            opened(asked, small).__enter__()


def test_limits_come_from_the_environment_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    given = settings(None, STEMTUNE_DECODE_SECONDS="2.5", STEMTUNE_PIXELS="100", STEMTUNE_FRAMES="")
    assert (given.limits.decode_seconds, given.limits.pixels, given.limits.frames) == (
        *(2.5, 100),
        settings(None).limits.frames,
    )
    for variable, value, said in (
        ("STEMTUNE_CLIPS", str(tmp_path / "nowhere"), "there is no such folder"),
        ("STEMTUNE_DECODE_SECONDS", "0", "STEMTUNE_DECODE_SECONDS is '0'.*greater than 0"),
        ("STEMTUNE_PIXELS", "many", "STEMTUNE_PIXELS is 'many'.*integer"),
        ("STEMTUNE_MEMORY_MIB", "5", "STEMTUNE_MEMORY_MIB is '5'.*1024"),
        ("STEMTUNE_CLIP_MIB", "-1", "STEMTUNE_CLIP_MIB is '-1'.*from 1 on"),
        ("STEMTUNE_REQUEST_FRAMES", "0", "STEMTUNE_REQUEST_FRAMES is '0'.*from 1 on"),
    ):
        with pytest.raises(InputError, match=said):
            settings_from({variable: value})
