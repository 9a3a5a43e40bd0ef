"""What ffmpeg's command line makes of a file, to compare our own decoding with."""

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np

from stemtune.core import params
from stemtune.media import decoding
from tests.support.project import ROOT

# A decoder of its own: the command line tool, of another version than the library in PyAV.
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
LIMITS = params.load(ROOT / "params.yaml").extract_frames.limits


class Reference(NamedTuple):
    """All frames of a file (n, side, side, 3) and when each is shown from the first, seconds."""

    frames: np.ndarray
    times: np.ndarray


def ffmpeg(*arguments: str | Path) -> bytes:
    """Runs ffmpeg and returns what it printed."""
    command = [FFMPEG, "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def decoded(path: Path, side: int) -> Reference:
    """Returns what ffmpeg makes of a file."""
    squares = f"scale={side}:{side}:flags=bilinear+accurate_rnd+bitexact,format=rgb24"
    with tempfile.TemporaryDirectory() as folder:
        # The filter writes when each frame is shown, relative to the first.
        written = Path(folder) / "times"
        printed = ffmpeg(
            "-i", path, "-vf", f"setpts=PTS-STARTPTS,{squares},metadata=add:key=a:value=b,"
            f"metadata=print:file={written}", "-fps_mode", "passthrough", "-f", "rawvideo", "-",
        )  # fmt: skip
        lines = written.read_text().splitlines()
    times = [float(line.split("pts_time:")[1]) for line in lines if "pts_time:" in line]
    frames = np.frombuffer(printed, np.uint8).reshape(-1, side, side, 3)
    return Reference(frames, np.array(times))


def difference(path: Path, count: int, side: int) -> str:
    """Returns in what our sample of a file differs from ffmpeg's frames; "" where in nothing."""
    reference = decoded(path, side)
    sample = decoding.sample_frames(path, count, side, LIMITS)
    count = 1 if len(reference.frames) == 1 else count
    if len(sample.frames) != count:
        return f"{len(sample.frames)} frames, not {count}"
    middles = (np.arange(count) + 0.5) * sample.duration / count
    expected = [int(np.flatnonzero(reference.times <= middle)[-1]) for middle in middles]
    if not np.allclose(sample.seconds, reference.times[expected], atol=1e-3):
        return f"frames of {sample.seconds} s, not of {reference.times[expected]}"
    most = np.abs(sample.frames.astype(int) - reference.frames[expected]).max()
    if most > 1:
        return f"pixels differ by {most}"
    if sample.available != min(count, len(reference.frames)):
        return f"{sample.available} available, not {min(count, len(reference.frames))}"
    return ""
