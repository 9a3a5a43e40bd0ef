"""`stemtune time`: what it measures, that two packages are enough for it, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import tensorflow as tf

from stemtune.commands.main import main
from stemtune.core.errors import InputError
from stemtune.core.input_specification import InputSpecification
from stemtune.export import conversion
from stemtune.export.exports import Precision
from stemtune.networks import classifier
from stemtune.serving import timing, timing_process
from tests.support.classifiers import CLASSES, tiny_classifier
from tests.support.project import ROOT
from tests.unit.export.test_export import FRAMES

SMALL, LARGE = "small_int8.tflite", "large_float32.tflite"
# These tests share a machine with others.
BUSY = "other programs had the processor for"
KEYS = {"ms_median", "ms_p95", "threads", "processor", "bytes", "peak_mib", "busy_share"}
HOSTILE = "\x1b[2J a.tflite"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with a small file and one that takes frames of 100 times the area."""
    place = tmp_path_factory.mktemp("exports")
    model = tiny_classifier(False)
    wanted: list[tuple[str, int, Precision]] = [
        (SMALL, 72, "int8"),
        (LARGE, 720, "float32"),
    ]
    for name, side, precision in wanted:
        stored = place / name.partition("_")[0]
        classifier.save(model, CLASSES, InputSpecification(3, 72, side), stored)
        written = conversion.write(model, stored, precision, FRAMES, place)
        written.rename(place / name)
    return place


@pytest.fixture(scope="module")
def two_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the Python of an environment with ai-edge-litert and NumPy alone."""
    place = tmp_path_factory.mktemp("device")
    command = [sys.executable, "-m", "venv", "--without-pip", str(place)]
    subprocess.run(command, check=True)
    [packages] = place.glob("lib/python*/site-packages")
    for package in ("ai-edge-litert", "numpy"):
        distribution = metadata.distribution(package)
        for top in {path.parts[0] for path in distribution.files or [] if ".." not in path.parts}:
            (packages / top).symlink_to(str(distribution.locate_file(top)))
    return place / "bin/python"


def test_two_packages_are_enough(folder: Path, two_packages: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(two_packages), *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    assert run("-c", "import pydantic").returncode
    done = run("-m", "stemtune", "time", "--json", SMALL, folder / LARGE)
    assert done.returncode == 0
    assert not done.stderr or BUSY in done.stderr
    prices = json.loads(done.stdout)
    assert list(prices) == [SMALL, LARGE]
    for name, price in prices.items():
        assert set(price) == KEYS
        assert price["bytes"] == (folder / name).stat().st_size
        assert price["threads"] == 1
        assert 0 < price["ms_median"] <= price["ms_p95"]
    # They run in turn, so both are slow on a machine with other work.
    assert prices[LARGE]["ms_median"] > 5 * prices[SMALL]["ms_median"]
    for package in two_packages.parent.parent.glob("lib/python*/site-packages/ai_edge_litert*"):
        package.unlink()
    done = run("-m", "stemtune", "time", SMALL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "stemtune time: ai-edge-litert is not installed for" in done.stderr
    assert "-m pip install ai-edge-litert numpy" in done.stderr


def test_memory_is_the_files_own_and_not_that_of_who_asks(folder: Path) -> None:
    here = psutil.Process().memory_info().rss / 2**20
    prices = timing.measure([folder / SMALL, folder / LARGE], rounds=20).prices
    assert "tensorflow" in sys.modules
    small, large = (prices[name].peak_mib or 0 for name in (SMALL, LARGE))
    assert 10 < small < large < here / 2
    # The frame and the first layer's output at least: 720² x 3 and 360² x 4 floats.
    assert large - small > (720**2 * 3 + 360**2 * 4 * 4) / 2**20


def test_the_table_has_a_row_per_file_and_steers_no_terminal(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hostile = tmp_path / HOSTILE
    shutil.copy(folder / SMALL, hostile)
    command = ["time", "--rounds", "20", str(hostile), str(folder / LARGE)]
    assert main([*command[:-1], "--json"]) == 0
    out, _ = capfd.readouterr()
    assert "\x1b" not in out
    assert list(json.loads(out)) == [HOSTILE]
    assert main(command) == 0
    out, err = capfd.readouterr()
    assert not err or BUSY in err
    header, first, second, _, told = out.splitlines()
    assert re.split("  +", header) == ["file", "ms", "p95", "MB", "peak MiB"]
    assert first.startswith(repr(HOSTILE))
    assert re.fullmatch(rf"{LARGE} +\d+\.\d\d +\d+\.\d\d +0\.0 +\d+", second)
    assert told.endswith(", 1 thread, 20 rounds")


def test_times_of_a_busy_machine_are_called_too_long(folder: Path) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = timing.measure([folder / LARGE], rounds=20)
    finally:
        rival.kill()
        rival.wait()
        os.sched_setaffinity(0, before)
    share = re.search(rf"{BUSY} (\d+)% of the time, so the times are too long", found.note)
    assert share
    assert 30 <= int(share[1]) <= 95


def converted(*shapes: tuple[int, ...]) -> bytes:
    """Returns a network of others: it adds up its inputs, of the shapes given."""
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    add = tf.function(lambda *given: sum(map(tf.reduce_sum, given)), input_signature=signature)
    concrete = add.get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], add).convert())


def test_what_cannot_be_timed_is_named_with_what_is_allowed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = {
        "text.tflite": b"no network",
        "empty.tflite": b"",
        "cut.tflite": (folder / SMALL).read_bytes()[:2000],
        "several.tflite": converted((8, 4, 4, 3)),
        "two.tflite": converted((1, 4, 4, 3), (1, 4, 4, 3)),
    }
    for name, content in odd.items():
        (tmp_path / name).write_bytes(content)
    for name in odd:
        said = f"^{re.escape(str(tmp_path / name))} is no LiteRT file that can be timed: "
        with pytest.raises(InputError, match=said) as error:
            timing.measure([tmp_path / name])
        assert len(str(error.value).splitlines()) == 1
        if name in ("several.tflite", "two.tflite"):
            assert "(1, height, width, channels), uint8, int8, float32" in str(error.value)
            assert "(8, 4, 4, 3) float32" in str(error.value) or "two" in name
    # Floats need no project either.
    (tmp_path / "one.tflite").write_bytes(converted((1, 4, 4, 3)))
    assert timing.measure([tmp_path / "one.tflite"], rounds=20).prices["one.tflite"].ms_median > 0
    shutil.copy(folder / SMALL, tmp_path)
    small = str(folder / SMALL)
    for arguments, said in (
        ([small, "missing.tflite"], "missing.tflite does not exist"),
        ([str(folder)], "is a folder; name the files in it"),
        ([small, str(tmp_path / SMALL)], "have one name, and prices are listed by name"),
        (["--rounds", "19", small], "a whole number from 20 to 100000 is expected, not '19'"),
        (["--threads", "0", small], f"from 1 to {os.cpu_count()} is expected, not '0'"),
        ([], "required: FILE"),
    ):
        try:
            status: object = main(["time", *arguments])
        except SystemExit as error:
            status = error.code
        out, err = capfd.readouterr()
        assert (status, out) == (2, "")
        assert said in err


def test_a_file_that_crashes_litert_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "crashing.py"
    crashing.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(timing_process, "__file__", str(crashing))
    with pytest.raises(InputError, match=rf"{SMALL}: LiteRT crashed on it \(SIGSEGV\)"):
        timing.measure([folder / SMALL])
