"""Sampling frames of clips, against PyAV, OpenCV, ffmpeg's command line and decord used plainly.

Measured in processor time per core, so a side that uses more threads has no advantage. Every
frame shows its number, which has to be the one asked for.
"""

import importlib.util
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import PIL.Image

from bench import measuring
from bench.material import SETTINGS
from stemtune.media import decoding

TARGET = 1.0
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
RATE = 25
SIDE, SAMPLED = 224, 10
# A frame's number in binary, as squares along its upper border.
BITS = 8
# Mean difference of pixels, 0 to 255: scalers differ in their filters.
TOLERANCE = 6.0

ENCODERS = {
    "h264_long_gop": ["-c:v", "libx264", "-preset", "veryfast", "-g", "250"],
    "h264_short_gop": ["-c:v", "libx264", "-preset", "veryfast", "-g", "12"],
}
Sampler = Callable[[Path, list[int]], np.ndarray]


@dataclass(frozen=True)
class Size:
    """Frames of a clip by width and height, px; clips decoded in a run; and runs."""

    frames: dict[tuple[int, int], int]
    repeats: dict[tuple[int, int], int]
    runs: int


FULL = Size(
    frames={(320, 240): 200, (1920, 1080): 100},
    repeats={(320, 240): 5, (1920, 1080): 1},
    runs=5,
)
TINY = Size(
    frames={(320, 240): 40, (1920, 1080): 20},
    repeats={(320, 240): 1, (1920, 1080): 1},
    runs=1,
)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the rows `decode/<encoding>_<width>x<height>`, in sampled frames per second."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for (width, height), count in size.frames.items():
            for encoding, arguments in ENCODERS.items():
                clip = Path(temporary) / f"{encoding}_{width}x{height}.mp4"
                _render(clip, arguments, width, height, count)
                rows.append(_measure(clip, count, size.repeats[width, height], size.runs))
    return rows


def _measure(clip: Path, count: int, repeats: int, runs: int) -> measuring.Row:
    wanted = [int((number + 0.5) * count / SAMPLED) for number in range(SAMPLED)]
    samplers: dict[str, Sampler] = {"ours": _ours, **_rivals()}
    seen = {name: sample(clip, wanted) for name, sample in samplers.items()}
    for name, pictures in seen.items():
        _require_equal(f"decode/{clip.stem}, {name}", pictures, seen["ours"], wanted)

    def rate(sample: Sampler) -> Callable[[], float]:
        def work() -> None:
            for _ in range(repeats):
                sample(clip, wanted)

        return lambda: repeats * SAMPLED / measuring.processor_seconds(work)

    measured = measuring.in_turns(runs, *map(rate, samplers.values()))
    rates = dict(zip(samplers, measured, strict=True))
    ours = rates.pop("ours")
    middles = {name: float(np.median(values)) for name, values in rates.items()}
    fastest = max(middles, key=lambda name: middles[name])
    others = ", ".join(f"{name} {rate:.0f}" for name, rate in middles.items() if name != fastest)
    return measuring.of_rates(
        f"decode/{clip.stem}",
        ours,
        rates[fastest],
        f"frames/s of one core, {SAMPLED} of {count}, {fastest} ({others})",
        TARGET,
    )


def _ours(clip: Path, wanted: list[int]) -> np.ndarray:
    return decoding.sample_frames(clip, len(wanted), SIDE, SETTINGS.extract_frames.limits).frames


def _rivals() -> dict[str, Sampler]:
    rivals: dict[str, Sampler] = {"PyAV": _pyav, "OpenCV": _opencv, "ffmpeg": _ffmpeg}
    # It has no package for every processor.
    if importlib.util.find_spec("decord"):
        rivals["decord"] = _decord
    else:
        print("bench: decode: LEFT OUT decord, which is not installed")
    return rivals


def _pyav(clip: Path, wanted: list[int]) -> np.ndarray:
    pictures = []
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                pictures.append(frame.to_ndarray(width=SIDE, height=SIDE, format="rgb24"))
            if number == wanted[-1]:
                break
    return np.stack(pictures)


def _opencv(clip: Path, wanted: list[int]) -> np.ndarray:
    import cv2

    pictures = []
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        for number in range(wanted[-1] + 1):
            if not capture.grab():
                raise RuntimeError(f"OpenCV cannot decode frame {number} of {clip}")
            if number in wanted:
                _, picture = capture.retrieve()
                small = cv2.resize(picture, (SIDE, SIDE))
                pictures.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
    return np.stack(pictures)


def _ffmpeg(clip: Path, wanted: list[int]) -> np.ndarray:
    chosen = "+".join(f"eq(n,{number})" for number in wanted)
    filters = f"select='{chosen}',scale={SIDE}:{SIDE}:flags=bilinear"
    command = [FFMPEG, "-v", "error", "-threads", "1", "-i", str(clip), "-vf", filters]
    command += ["-fps_mode", "passthrough", "-frames:v", str(len(wanted))]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)


def _decord(clip: Path, wanted: list[int]) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(clip), width=SIDE, height=SIDE, num_threads=1)
    return reader.get_batch(wanted).asnumpy()


def _require_equal(what: str, pictures: np.ndarray, ours: np.ndarray, wanted: list[int]) -> None:
    """Raises AssertionError unless the pictures are of the frames wanted, and look like ours."""
    shown = [_number(picture) for picture in pictures]
    if shown != wanted:
        raise AssertionError(f"{what}: frames {shown} instead of {wanted}")
    off = np.abs(pictures.astype(float) - ours).mean()
    if not off <= TOLERANCE:
        raise AssertionError(f"{what}: pixels differ by {off:.1f} of 255 on average from ours")


def _number(picture: np.ndarray) -> int:
    """Reads the number that a picture shows."""
    height = picture.shape[0] // 20
    centres = (np.arange(BITS) + 0.5) * picture.shape[1] / BITS
    bits = [picture[height // 4 : height * 3 // 4, int(x) - 2 : int(x) + 3].mean() for x in centres]
    return sum(1 << number for number, level in enumerate(bits) if level > 127)


def _render(clip: Path, arguments: list[str], width: int, height: int, count: int) -> None:
    """Encodes a clip of a scene that the camera moves over, with noise, numbered."""
    command = [FFMPEG, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(RATE), "-i", "-"]
    command += [*arguments, "-pix_fmt", "yuv420p", str(clip)]
    frames = b"".join(picture.tobytes() for picture in _pictures(width, height, count))
    subprocess.run(command, input=frames, check=True, capture_output=True)


def _pictures(width: int, height: int, count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(1)
    cells = random.integers(40, 200, (20, 36, 3), np.uint8)
    step = height // 240
    scene = np.asarray(PIL.Image.fromarray(cells).resize((2 * width, 2 * height)))
    noise = random.integers(0, 9, (height + 32, width + 32, 3), np.uint8)
    for number in range(count):
        picture = scene[step * number % height :, 2 * step * number % width :][
            :height, :width
        ].copy()
        row, column = random.integers(0, 32, 2)
        picture += noise[row : row + height, column : column + width]
        for bit in range(BITS):
            level = 235 * (number >> bit & 1)
            picture[: height // 20, bit * width // BITS : (bit + 1) * width // BITS] = level
        yield picture
