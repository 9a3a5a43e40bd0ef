"""A served classifier answers requests, and opens nothing that it is not told to."""

import base64
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import psutil
import pytest
import requests
from mlflow.tracking import MlflowClient
from PIL import Image, ImageCms

from stemtune.media import decoding, scaling
from stemtune.networks import classifier
from stemtune.serving.requested_clips import LIMITS
from stemtune.tracking import registry
from tests.support import clips, pages
from tests.support.classifiers import CLASSES, SIDE, tiny_classifier
from tests.support.clips import as_bytes
from tests.support.servers import Server, free_port, program

pytestmark = pytest.mark.slow

FRAMES = np.random.default_rng(4).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
# More than a small clip takes on a busy machine, and far less than the endless one.
SECONDS, CLIP_MIB = 8, 12
# Tiny frames that take longer than that, on a quick machine too.
MOST_FRAMES = 200_000
# Names of classes and models on the page, which are others here, and a digest.
NAMES = {
    "chevron|dots|ribs|weave|as_published": r"\w+",
    r"[0-9a-f]{32}\.dir": "d1",
}
SHOWN = [*pages.shown("docs/deploy.md", NAMES)]
REQUESTS = [each for each in SHOWN if "curl" in each.command]


class Usage(NamedTuple):
    """Processor time, and the most memory."""

    seconds: float
    bytes: int


class Serving:
    """A server of a small classifier, with a folder of clips that it may open."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root, self.folder, self.temporary = root, root / "clips", root / "tmp"
        self.folder.mkdir()
        self.temporary.mkdir()
        stored = root / "stored"
        specification = classifier.InputSpecification(frames_per_clip=3, size=SIDE, side=SIDE)
        classifier.save(tiny_classifier(True), CLASSES, specification, stored)
        self._own = classifier.load(stored).predictor()
        shutil.copy(store, root / "mlflow.db")
        uri = f"sqlite:///{root}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        client = MlflowClient(uri)
        experiment = client.create_experiment("stemtune", str(root / "mlruns"))
        run = client.create_run(experiment).info.run_id
        registry.publish(client, run, "stored", "stem", stored, "d1")
        port = free_port()
        model = ["models", "serve", "-m", "models:/stemtune@stem", "--env-manager", "local"]
        self.server = Server(
            [program("mlflow"), *model, "--host", "127.0.0.1", "--port", str(port)],
            port,
            "/health",
            root,
            {
                "MLFLOW_TRACKING_URI": uri,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "PATH": f"{Path(program('mlflow')).parent}{os.pathsep}{os.environ['PATH']}",
                "TMPDIR": str(self.temporary),
                "STEMTUNE_CLIPS": str(self.folder),
                "STEMTUNE_DECODE_SECONDS": str(SECONDS),
                "STEMTUNE_CLIP_MIB": str(CLIP_MIB),
                "STEMTUNE_REQUEST_FRAMES": str(MOST_FRAMES),
            },
        )

    def usage(self) -> "Usage":
        """Returns what the server's processes have taken since they began."""
        first = self.server.process
        processes = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
        times = [process.cpu_times() for process in processes]
        peaks = [
            re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            for process in processes
        ]
        return Usage(
            sum(time.user + time.system for time in times),
            sum(int(kibibytes) * 1024 for [kibibytes] in peaks),
        )

    def clip(self, name: str) -> Path:
        """Writes a clip into the folder that the server may open."""
        return clips.write(self.folder / name, [20, 90, 200, 250])

    def of_frames(self, frames: np.ndarray) -> np.ndarray:
        """Returns what the classifier itself says of frames."""
        return np.asarray(self._own(frames))

    def of_clip(self, path: Path) -> np.ndarray:
        """Returns what the classifier itself says of a clip."""
        sample = decoding.sample_frames(path, 3, SIDE, LIMITS)
        return self.of_frames(sample.frames).mean(axis=0)

    def post(self, content: Any) -> requests.Response:
        """Sends a request, as curl would."""
        return requests.post(f"{self.server.address}/invocations", json=content, timeout=300)

    def answer(self, content: Any) -> np.ndarray:
        """Returns the probabilities that are answered, a row per frame or clip."""
        answer = self.post(content)
        assert answer.status_code == 200, answer.text
        rows = answer.json()["predictions"]
        assert all(list(row) == CLASSES for row in rows)
        return np.array([list(row.values()) for row in rows])

    def refusal(self, content: Any) -> str:
        """Returns the words with which a request is refused."""
        answer = self.post(content)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["message"])


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Serving]:
    made = Serving(tmp_path_factory.mktemp("serving"), empty_store)
    yield made
    made.server.stop()
    # Whatever clients sent is gone.
    assert not list(made.temporary.rglob("stemtune-*"))


class Listener(ThreadingHTTPServer):
    """A web server that counts who asks it for a clip."""

    def __init__(self) -> None:
        listener, self.asked = self, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listener.asked += 1
                self.send_error(404)

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


def photographs(folder: Path) -> dict[Path, np.ndarray]:
    """Writes a photograph with EXIF that says how to turn it, and one with a profile of colors.

    Returns:
        Path → what is to be seen (h, w, 3).
    """
    upright = np.random.default_rng(6).integers(0, 256, (90, 120, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "NIKON"
    turned, profiled = folder / "turned.png", folder / "profiled.png"
    Image.fromarray(np.rot90(upright)).save(turned, exif=exif)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(upright).save(profiled, icc_profile=profile)
    return {turned: upright, profiled: upright}


def test_frames_clips_and_pictures_are_classified(serving: Serving) -> None:
    answer = serving.answer({"inputs": FRAMES.tolist()})
    assert np.allclose(answer, serving.of_frames(FRAMES), atol=1e-6)
    clip = serving.clip("clip.mp4")
    expected = serving.of_clip(clip)
    whole = {"columns": ["clip"], "data": [["clip.mp4"]]}
    for content in (
        {"inputs": ["clip.mp4", str(clip), as_bytes(clip)]},
        {"instances": ["clip.mp4"]},
        {"dataframe_split": whole},
        {"dataframe_records": [{"clip": as_bytes(clip)}]},
    ):
        assert np.allclose(serving.answer(content), expected, atol=1e-6)
    for path, pixels in photographs(serving.folder).items():
        (answer,) = serving.answer({"inputs": [path.name]})
        (expected,) = serving.of_frames(scaling.scale(pixels[None], SIDE))
        assert np.allclose(answer, expected, atol=1e-6)


@pytest.mark.parametrize("shown", REQUESTS, ids=range(len(REQUESTS)))
def test_requests_of_the_page_get_answers_of_its_form(serving: Serving, shown: pages.Shown) -> None:
    (serving.folder / "ribs").mkdir(exist_ok=True)
    clip = serving.clip("ribs/ribs_s00_c0.mp4")
    sent = serving.root / "data/weave/weave_s00_c0.mp4"
    sent.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(clip, sent)
    address = serving.server.address.removeprefix("http://")
    command = shown.command.replace("127.0.0.1:5001", address)
    done = subprocess.run(
        ["sh", "-c", command], cwd=serving.root, capture_output=True, text=True, check=True
    )
    assert shown.printed.fullmatch(done.stdout.strip()), done.stdout


def test_python_of_the_page_prints_what_it_shows(serving: Serving) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{serving.root}/mlflow.db")
    known: dict[str, Any] = {}
    for prompt, command, printed in SHOWN:
        here = command.replace('"production", 2', '"production", 1')
        here = here.replace('"model"', '"models:/stemtune@production"')
        if prompt == ">>>" and printed.pattern:
            assert printed.fullmatch(repr(eval(here, known)).strip()), command  # noqa: S307
        elif prompt == ">>>":
            exec(here, known)  # noqa: S102


def test_what_is_no_input_is_refused_with_what_is(serving: Serving) -> None:
    for inputs, said in (
        ([[[[1, 2, 300]]]], "whole numbers from 0 to 255"),
        ([[[[0.5, 0.5, 0.5]]]], "whole numbers from 0 to 255"),
        ([[[[1, 2, 3]]], [[[1, 2, 3]] * 2]], "frames of equal size"),
        ([1, 2], r"(n, h, w, 3)"),
        ([[]], "or a list of clips"),
        ([None], "or a list of clips"),
        (["a.mp4", 5], "or a list of clips"),
        # Of words and numbers NumPy would make words, all as long as the longest.
        (["a" * 10**7, *[5] * 10_000], "or a list of clips"),
        ([[[[1, 2, 3]] * 20_000]], "cannot scale frames of 20000 x 1 pixels"),
        ([["a.mp4"]], "or a list of clips"),
        ("a.mp4", "or a list of clips"),
    ):
        message = serving.refusal({"inputs": inputs})
        assert said in message
        assert "A clip is a path below the folder of this server's clips, or data:" in message
    odd: list[Any] = [{"inputs": []}, {"inputs": {"clip": ["a.mp4"]}}, {"dataframe_records": []}]
    for content in (*odd, {}, []):
        serving.refusal(content)


def test_no_path_outside_the_folder_and_no_address_is_opened(
    serving: Serving, listener: Listener
) -> None:
    secret = clips.write(serving.root / "secret.mp4", [20, 90])
    (serving.folder / "link.mp4").symlink_to(secret)
    (serving.folder / "up").symlink_to(serving.root)
    web = f"http://127.0.0.1:{listener.server_port}/clip.mp4"
    outside = [str(secret), "../secret.mp4", "link.mp4", "up/secret.mp4", f"file:{secret}"]
    outside += [f"file://{secret}", web, f"{web}#a.mp4", f"concat:{secret}", "/dev/zero", "."]
    there = [serving.refusal({"inputs": [asked]}) for asked in outside]
    began = serving.usage().seconds
    for asked in ("../" * 200_000, f"{secret}/../clips/clip.mp4", f"{secret}x/../clips/clip.mp4"):
        assert "there is no clip" in serving.refusal({"inputs": [asked]})
    # To find out where the first one leads took 4 s.
    assert serving.usage().seconds - began < 1
    # What is there and what is not get the same words.
    secret.unlink()
    assert [serving.refusal({"inputs": [asked]}) for asked in outside] == there
    assert all("there is no clip" in message and "or data:" in message for message in there)
    assert listener.asked == 0


def test_a_playlist_leads_nowhere(serving: Serving, listener: Listener) -> None:
    clip = serving.clip("listed.mp4")
    web = f"http://127.0.0.1:{listener.server_port}/clip.mp4"
    for target in (str(clip), clip.name, f"file:{clip}", web):
        for playlist in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile '{target}'\n",
            f"<MPD><Period><AdaptationSet><BaseURL>{target}</BaseURL></AdaptationSet></Period></MPD>",
        ):
            path = serving.folder / "list.m3u8"
            path.write_text(playlist)
            for asked in (path.name, as_bytes(path)):
                assert "cannot be decoded" in serving.refusal({"inputs": [asked]})
    assert listener.asked == 0


def test_what_would_fill_the_memory_is_refused(serving: Serving) -> None:
    (serving.folder / "bomb.png").write_bytes(clips.bomb(30_000))
    (serving.folder / "large.mp4").write_bytes(bytes((CLIP_MIB + 1) * 2**20))
    for name, said in (("bomb.png", "limits.pixels"), ("large.mp4", "STEMTUNE_CLIP_MIB allows 12")):
        for asked in (name, as_bytes(serving.folder / name)):
            message = serving.refusal({"inputs": [asked]})
            assert said in message
            # MLflow itself would send back the whole request.
            assert len(message) < 500


def test_a_request_that_never_ends_is_ended_and_keeps_no_other_waiting(serving: Serving) -> None:
    first, second = serving.clip("first.mp4"), clips.write(serving.folder / "second.mp4", [250, 9])
    endless = base64.b64encode(clips.endless()).decode()
    with ThreadPoolExecutor() as clients:
        hanging = clients.submit(serving.refusal, {"inputs": [f"data:;base64,{endless}"]})
        others = [(path, clients.submit(serving.answer, {"inputs": [path.name]}))
                  for path in (first, second) * 3]  # fmt: skip
        for path, answer in others:
            assert np.allclose(answer.result(), serving.of_clip(path), atol=1e-6)
        message = hanging.result()
    assert "clip 1 of 1 was not decoded in the" in message
    assert np.allclose(serving.answer({"inputs": [first.name]}), serving.of_clip(first), atol=1e-6)


def test_many_tiny_frames_take_little_memory_and_end_with_their_request(serving: Serving) -> None:
    assert np.allclose(serving.answer({"inputs": FRAMES.tolist()}), serving.of_frames(FRAMES))
    before = serving.usage()
    # Scaled they are 3 GB; the server would have gone on for long after its own 504.
    message = serving.refusal({"inputs": [[[[7, 7, 7]]]] * MOST_FRAMES})
    assert re.search(
        rf"classified \d+ of {MOST_FRAMES} frames in the {SECONDS} s that STEMTUNE_DECODE_SECONDS "
        "allows; send fewer",
        message,
    )
    after = serving.usage()
    assert after.bytes - before.bytes < 2**30
    time.sleep(1)
    assert serving.usage().seconds - after.seconds < 0.3
