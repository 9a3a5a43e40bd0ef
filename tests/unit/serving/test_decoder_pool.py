"""Clips are decoded in processes that a bad one ends, and the next is decoded all the same."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from stemtune.core.settings.frames import Limits
from stemtune.media import decoding
from stemtune.media.sampling import DecodeError, LimitError, Span
from stemtune.serving.decoder_pool import BusyError, CrashError, DecoderPool
from tests.support import clips
from tests.support.clips import WriteClip
from tests.support.project import ROOT

SIDE = 32
LIMITS = Limits(decode_seconds=60, pixels=20_000**2, frames=10_000, memory_mib=1024)


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    made = DecoderPool(LIMITS, decoders=1)
    yield made
    made.close()


def decoders(of: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in of.children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "decoder_process" in " ".join(child.cmdline()):
                found.append(child)
    return found


def has_open(decoder: psutil.Process, clip: Path) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(file.path == str(clip) for file in decoder.open_files())
    return False


def test_frames_are_those_that_this_process_would_take(
    pool: DecoderPool, write_clip: WriteClip
) -> None:
    clip = write_clip("clip.mp4", [0, 40, 80, 120, 160, 200, 240, 10])
    for span in (None, Span(0.2, 0.6)):
        own = decoding.sample_frames(clip, 2, SIDE, LIMITS, span)
        sample = pool.sample(clip, 2, SIDE, span=span)
        assert np.array_equal(sample.frames, own.frames)
        assert sample.seconds.tolist() == own.seconds.tolist()
        assert (sample.width, sample.height, sample.duration) == (96, 64, 0.8)
    assert own.seconds.tolist() == pytest.approx([0.3, 0.5])
    assert len(decoders(psutil.Process())) == 1


def test_a_clip_that_takes_too_long_or_too_much_costs_itself_alone(
    pool: DecoderPool, tmp_path: Path, write_clip: WriteClip
) -> None:
    clip, endless, bomb = write_clip("clip.mp4", [9]), tmp_path / "a.gif", tmp_path / "b.png"
    endless.write_bytes(clips.endless())
    bomb.write_bytes(clips.bomb(19_000))
    with pytest.raises(LimitError, match=r"took longer than limits\.decode_seconds allows, 60 s"):
        pool.sample(endless, 2, SIDE, seconds=0.5)
    assert not decoders(psutil.Process())
    with pytest.raises(LimitError, match=r"more memory than limits\.memory_mib allows, 1024 MiB"):
        pool.sample(bomb, 2, SIDE)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        pool.sample(Path(__file__), 2, SIDE)
    assert pool.sample(clip, 2, SIDE).frames.shape == (2, SIDE, SIDE, 3)


def test_a_clip_that_ends_its_decoder_is_refused_and_a_broken_decoder_is_replaced(
    pool: DecoderPool, tmp_path: Path, write_clip: WriteClip
) -> None:
    clip, endless = write_clip("clip.mp4", [9]), tmp_path / "a.gif"
    endless.write_bytes(clips.endless())
    assert len(pool.sample(clip, 2, SIDE).frames) == 2
    (idle,) = decoders(psutil.Process())
    idle.kill()
    assert len(pool.sample(clip, 2, SIDE).frames) == 2

    def kill_both() -> None:
        # The one that is there and the one that tries again.
        killed: set[int] = set()
        while len(killed) < 2:
            for each in decoders(psutil.Process()):
                if each.pid not in killed and has_open(each, endless):
                    each.kill()
                    killed.add(each.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_both, daemon=True)
    killer.start()
    with pytest.raises(CrashError, match=r"crashed its decoder \(exit code -9\)"):
        pool.sample(endless, 2, SIDE)
    killer.join()


def test_who_waits_too_long_for_a_decoder_is_told(pool: DecoderPool, tmp_path: Path) -> None:
    endless = tmp_path / "a.gif"
    endless.write_bytes(clips.endless())

    def occupy() -> None:
        with pytest.raises(LimitError):
            pool.sample(endless, 2, SIDE, seconds=2)

    first = threading.Thread(target=occupy)
    first.start()
    while not decoders(psutil.Process()):
        time.sleep(0.01)
    with pytest.raises(BusyError, match="all decoders are at work"):
        pool.sample(endless, 2, SIDE, seconds=0.1)
    # Gets a decoder for what is left of its time, which says nothing of the clip.
    with pytest.raises(BusyError, match=r"at work.*; try again"):
        pool.sample(endless, 2, SIDE, seconds=3)
    first.join()


OWNER = """
import sys, time
from pathlib import Path
from stemtune.core.settings.frames import Limits
from stemtune.serving.decoder_pool import DecoderPool
limits = Limits(decode_seconds=60, pixels=10**6, frames=100, memory_mib=1024)
pool = DecoderPool(limits, decoders=2)
pool.sample(Path(sys.argv[1]), 1, 32)
print("decoded", flush=True)
time.sleep(600)
"""


def test_decoders_end_with_a_script_that_is_killed_and_needs_no_main_guard(
    write_clip: WriteClip,
) -> None:
    clip = write_clip("clip.mp4", [9])
    script = clip.with_name("owner.py")
    script.write_text(OWNER)
    owner = subprocess.Popen(
        [sys.executable, str(script), str(clip)],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    assert owner.stdout.readline() == "decoded\n"
    (decoder,) = decoders(psutil.Process(owner.pid))
    owner.kill()
    owner.wait()
    decoder.wait(timeout=60)
