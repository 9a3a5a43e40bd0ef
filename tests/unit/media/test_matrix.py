"""Codecs, containers and distances of key frames: from each, the frames that ffmpeg shows."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import reference

INTRA = "mp4 mov mkv avi asf nut"
# Codec, and how it is encoded → the containers that ffmpeg puts it into and reads it from. What is
# missing ffmpeg does not write, or not read again: SMC in AVI comes back as raw pictures, WMV and
# Theora in RealMedia as damaged ones.
CELLS: dict[str, tuple[str, str]] = {
    "h264": (
        "-c:v libx264 -preset fast -bf 0 -pix_fmt yuv420p",
        "mp4 mov mkv avi ts mpg vob asf flv nut mxf 3gp h264 m4v",
    ),
    "h264, B-frames": (
        "-c:v libx264 -preset fast -bf 3 -pix_fmt yuv420p",
        "mp4 mov mkv avi ts mpg vob asf flv nut mxf 3gp h264 m4v",
    ),
    "hevc, B-frames": (
        "-c:v libx265 -preset ultrafast -x265-params log-level=error:bframes=3",
        "mp4 mov mkv ts mpg vob flv nut hevc",
    ),
    "mpeg4": ("-c:v mpeg4", "mp4 mov mkv avi ts mpg vob asf nut 3gp m4v"),
    "mpeg4, B-frames": ("-c:v mpeg4 -bf 2", "mp4 mov mkv avi ts mpg vob asf nut 3gp m4v"),
    "mpeg2, B-frames": ("-c:v mpeg2video -bf 2", "mp4 mov mkv avi ts mpg vob asf nut mxf m2v"),
    "mpeg1, B-frames": ("-c:v mpeg1video -bf 2", "mp4 mov mkv avi ts mpg vob asf nut"),
    "h263": ("-c:v h263 -s 176x144", "mov mkv avi asf nut 3gp h263"),
    "h263+": ("-c:v h263p", "mov mkv avi asf nut"),
    "h261": ("-c:v h261 -s 176x144", "mov mkv avi asf nut"),
    "vp8": ("-c:v libvpx -deadline realtime", "mkv avi asf ogg webm nut ivf"),
    "vp9": (
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
        "mp4 mkv avi asf flv webm nut ivf",
    ),
    "av1": ("-c:v libsvtav1 -preset 12", "mp4 mkv avi asf flv webm nut obu ivf"),
    "theora": ("-c:v libtheora", "mov mkv avi asf ogg nut"),
    "wmv1": ("-c:v wmv1", "mov mkv avi asf nut"),
    "wmv2": ("-c:v wmv2", "mov mkv avi asf nut"),
    "msmpeg4": ("-c:v msmpeg4", "mov mkv avi asf nut"),
    "msmpeg4v2": ("-c:v msmpeg4v2", "mov mkv avi asf nut"),
    "flv1": ("-c:v flv1", "mov mkv avi asf flv nut swf"),
    "rv20": ("-c:v rv20", "rm"),
    "svq1": ("-c:v svq1", "mov avi asf nut"),
    "cinepak": ("-c:v cinepak", "mov mkv avi asf nut"),
    "rpza": ("-c:v rpza", "mov mkv avi asf nut"),
    "smc": ("-c:v smc", "mov mkv"),
    "qtrle": ("-c:v qtrle", "mov"),
    "mjpeg": ("-c:v mjpeg", f"{INTRA} mjpeg swf"),
    "prores": ("-c:v prores_ks", "mov mkv avi nut mxf"),
    "ffv1": ("-c:v ffv1", f"{INTRA} mxf"),
    "huffyuv": ("-c:v huffyuv", "mov mkv avi asf nut"),
    "dv": ("-c:v dvvideo -s 720x576 -pix_fmt yuv420p -r 25", "mov mkv avi mxf dv"),
    "raw": ("-c:v rawvideo -pix_fmt yuv420p", "mkv avi nut y4m"),
}
WITHOUT_GROUPS = {"mjpeg", "prores", "huffyuv", "dv", "raw"}
PICTURE = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=2.4"


@pytest.mark.parametrize("codec", CELLS)
def test_every_cell_gives_the_frames_of_ffmpeg(tmp_path: Path, codec: str) -> None:
    settings, containers = CELLS[codec]
    found: dict[str, str] = {}
    for distance in (12,) if codec in WITHOUT_GROUPS else (12, 250):
        paths = [tmp_path / f"{distance}.{container}" for container in containers.split()]
        outputs: Iterator[tuple[str | Path, ...]] = (
            (*settings.split(), "-g", str(distance), path) for path in paths
        )
        reference.ffmpeg(*PICTURE.split(), *itertools.chain(*outputs))
        found |= {path.name: reference.difference(path, 7, 48) for path in paths}
    assert {name: said for name, said in found.items() if said} == {}
