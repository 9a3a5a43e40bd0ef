"""Classifiers as LiteRT files: what they answer, what they carry, and what they are judged by."""

import dataclasses
import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pytest

from stemtune.commands.main import main
from stemtune.core.errors import InputError
from stemtune.core.input_specification import (
    CLASSES_FILE,
    SPECIFICATION_FILE,
    InputSpecification,
)
from stemtune.evaluation import cascades, predictions
from stemtune.evaluation.cascades import Cascade
from stemtune.evaluation.prices import FilePrice
from stemtune.export import conversion, judging
from stemtune.export.exports import Exports, Precision
from stemtune.media import scaling
from stemtune.networks import classifier, images
from stemtune.report import exports_page as page
from stemtune.serving import timing
from stemtune.serving.litert import LiteRTClassifier
from stemtune.store import frame_store, manifest
from tests.support import clips
from tests.support.classifiers import CLASSES, SIDE, tiny_classifier
from tests.support.project import ROOT

FRAMES = np.random.default_rng(2).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
SMALL = 33
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns folders of stored classifiers, by name, each with a file per precision in it."""
    made = {}
    for name, side in (("plain", SIDE), ("stem", SIDE), ("small", SMALL)):
        model = dataclasses.replace(tiny_classifier(name == "stem"), name=name)
        folder = tmp_path_factory.mktemp(name)
        classifier.save(model, CLASSES, InputSpecification(3, SIDE, side), folder)
        calibration = scaling.shrink(FRAMES, side)
        for precision in PRECISIONS:
            conversion.write(classifier.load(folder), folder, precision, calibration, folder)
        made[name] = folder
    return made


@pytest.mark.parametrize("name", ["plain", "stem", "small"])
def test_a_file_answers_as_its_classifier_does(name: str, written: dict[str, Path]) -> None:
    folder = written[name]
    takes = classifier.specification(folder)
    expected = classifier.load(folder).predictor(takes.side)(FRAMES)
    # Frames of the smaller side are rounded to uint8.
    exact = 1e-5 if name != "small" else 2e-3
    for precision, off in (("float32", exact), ("float16", 5e-3), ("int8", 0.05)):
        found = LiteRTClassifier(folder / f"{name}_{precision}.tflite", threads=1)
        assert found.classes == CLASSES
        assert found.specification == takes
        assert np.abs(found.frames(FRAMES).to_numpy() - expected).max() < off
        assert np.allclose(found.frames(FRAMES), found.frames(scaling.shrink(FRAMES, takes.side)))


def test_equal_classifiers_make_equal_bytes(written: dict[str, Path], tmp_path: Path) -> None:
    folder = written["stem"]
    for precision in PRECISIONS:
        path = conversion.write(classifier.load(folder), folder, precision, FRAMES, tmp_path)
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.parametrize(
    ("precision", "takes", "gives", "weights"),
    [
        ("float32", np.uint8, np.float32, np.float32),
        ("float16", np.uint8, np.float32, np.float16),
        ("int8", np.int8, np.int8, np.int8),
    ],
)
def test_a_file_has_the_types_that_its_precision_names(
    written: dict[str, Path], precision: str, takes: type, gives: type, weights: type
) -> None:
    network = LiteRTClassifier(written["plain"] / f"plain_{precision}.tflite")._interpreter
    assert network.get_input_details()[0]["dtype"] is takes
    assert network.get_output_details()[0]["dtype"] is gives
    kernels = [
        tensor["dtype"]
        for tensor in network.get_tensor_details()
        if tuple(tensor["shape"]) == (4, 3, 3, 3)
    ]
    assert kernels[0] is weights


@pytest.mark.parametrize("name", ["plain", "stem", "small"])
def test_an_int8_file_is_full_integer_from_entry_to_end(
    name: str, written: dict[str, Path]
) -> None:
    network = LiteRTClassifier(written[name] / f"{name}_int8.tflite")._interpreter
    operators = {operator["op_name"] for operator in network._get_ops_details()}
    assert not operators & {"CAST", "QUANTIZE", "DEQUANTIZE"}
    assert {tensor["dtype"] for tensor in network.get_tensor_details()} <= {np.int8, np.int32}
    # A pixel less 128, exactly; and steps of 1/256.
    assert network.get_input_details()[0]["quantization"] == (1.0, -128)
    assert network.get_output_details()[0]["quantization"] == (1 / 256, -128)


def test_metadata_name_labels_and_normalization(written: dict[str, Path]) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    for precision in PRECISIONS:
        content = (written["stem"] / f"stem_{precision}.tflite").read_bytes()
        with zipfile.ZipFile(written["stem"] / f"stem_{precision}.tflite") as archive:
            assert archive.read("labels.txt").decode().splitlines() == CLASSES
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        [entry] = [each for each in model.metadata if each.name == b"TFLITE_METADATA"]
        found = bytes(model.buffers[entry.buffer].data)
        assert found[4:8] == b"M001"
        assert b"labels.txt" in found
        assert conversion.DESCRIPTIONS[precision].encode() in found
        mean = 128.0 if precision == "int8" else 0.0
        assert struct.pack("<f", mean) in found


def test_averaging_areas_is_what_classifiers_see() -> None:
    import tensorflow as tf

    for side in (SMALL, 36, 71):
        expected = images.resize(tf.constant(FRAMES, tf.float32), side).numpy()
        assert np.abs(scaling.shrink(FRAMES, side) - expected).max() <= 0.51


def test_a_clip_is_classified_without_tensorflow(written: dict[str, Path], tmp_path: Path) -> None:
    clip = clips.write_frames(tmp_path / "clip.mp4", clips.scene(1))
    file = written["stem"] / "stem_int8.tflite"
    program = (
        "import sys\nfrom stemtune.commands.main import main\n"
        f"code = main(['classify', '--json', '--model', {str(file)!r}, {str(clip)!r}])\n"
        "sys.exit(code or 'tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    [answer] = json.loads(done.stdout)
    assert answer["class"] in CLASSES
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.02)


def test_a_cascade_asks_the_full_file_for_clips_of_which_the_small_one_is_unsure(
    written: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = clips.write_frames(tmp_path / "clip.mp4", clips.scene(1))

    def said(model: Path, *more: str) -> dict[str, float]:
        assert main(["classify", "--json", "--model", str(model), *more, str(clip)]) == 0
        [answer] = json.loads(capsys.readouterr().out)
        found: dict[str, float] = answer["probabilities"]
        return found

    for name in ("plain", "small"):
        shutil.copy(written[name] / f"{name}_int8.tflite", tmp_path)
    small, full = tmp_path / "small_int8.tflite", tmp_path / "plain_int8.tflite"
    for threshold, expected in ((0.0, said(small)), (1.0, said(full))):
        cascade = Cascade(
            small=small.name, full=full.name, threshold=threshold, small_frames=3, full_frames=3
        )
        assert said(cascades.write(tmp_path, "both", cascade)) == pytest.approx(expected)
    # One frame is that in the middle.
    one = cascade.model_copy(update={"threshold": 0.0, "small_frames": 1})
    assert said(cascades.write(tmp_path, "one", one)) == pytest.approx(said(small, "--frames", "1"))
    (tmp_path / "plain_int8.tflite").unlink()
    assert main(["classify", "--model", str(tmp_path / "one.cascade.json"), str(clip)]) == 2
    assert "plain_int8.tflite is no export of this project" in capsys.readouterr().err
    assert main(["classify", "--model", str(tmp_path / "no.cascade.json"), str(clip)]) == 2


def test_a_file_of_others_is_refused(written: dict[str, Path], tmp_path: Path) -> None:
    bare, other = tmp_path / "bare.tflite", tmp_path / "other.tflite"
    bare.write_bytes(b"TFL3" * 100)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("labels.txt", "a")
    names, frames = b'["a"]', b'{"frames_per_clip": 3, "size": 72, "side": 72}'
    odd = {
        "no JSON": (b"{", frames),
        "no list": (b"{}", frames),
        "no classes": (b"[]", frames),
        "a list": (names, b"[]"),
        "a name lacking": (names, b'{"size": 72, "side": 72}'),
        "a word": (names, b'{"frames_per_clip": 3, "size": 72, "side": "wide"}'),
        "nothing": (names, b'{"frames_per_clip": 0, "size": 72, "side": 72}'),
        "huge": (names, bytes(2**26)),
        "no network": (names, frames),
    }
    files = [bare, other, tmp_path / "missing.tflite", tmp_path]
    for name, members in odd.items():
        files.append(tmp_path / f"{name}.tflite")
        write_archive(files[-1], members)
    # Cut off, with a byte of a member changed, and with a network of other classes before it.
    whole = (written["plain"] / "plain_float32.tflite").read_bytes()
    others = tmp_path / "other classes.tflite"
    others.write_bytes(whole[: whole.rindex(b"PK\3\4", 0, whole.rindex(b"PK\3\4"))])
    write_archive(others, (names, frames), "a")
    cut, changed = tmp_path / "cut.tflite", tmp_path / "changed.tflite"
    cut.write_bytes(whole[:-5])
    changed.write_bytes(whole.replace(b'["a",', b'["z",'))
    tracemalloc.start()
    for path in (*files, others, cut, changed):
        with pytest.raises(InputError, match=f"{path.name} is no export of this project") as error:
            LiteRTClassifier(path)
        assert len(str(error.value).splitlines()) == 1
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def write_archive(path: Path, members: tuple[bytes, bytes], mode: Literal["w", "a"] = "w") -> None:
    with zipfile.ZipFile(path, mode, zipfile.ZIP_DEFLATED) as archive:
        for name, content in zip((CLASSES_FILE, SPECIFICATION_FILE), members, strict=True):
            archive.writestr(name, content)


def test_a_file_is_judged_against_its_classifier(
    written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "FRAMES", tmp_path)
    monkeypatch.setattr(judging, "EXPORTED", tmp_path)
    frame_store.write(tmp_path, "one", frame_store.Measurements(), FRAMES)
    rows = pd.DataFrame(
        {"shard": "one", "index": range(8), "clip": list("aabbccdd"), "group": list("aabbccdd")}
    )
    folder = written["stem"]
    expected = classifier.load(folder).predictor()(FRAMES)
    labels = expected.argmax(axis=1)
    # One of eight frames is another class's.
    labels[0] = (labels[0] + 1) % 3
    rows = rows.assign(label=labels)
    splits = [rows.assign(split=split) for split in manifest.SPLITS]
    table = pd.concat(splits, ignore_index=True)
    judge = judging.Judge(table, 200, 1, SIDE, 3, {"stem": expected})
    assert np.array_equal(judge.calibration(SIDE, 8), FRAMES)
    path = folder / "stem_float32.tflite"
    found = judge.judge(path, "stem", "float32", SIDE)
    assert found.keras_accuracy == found.test_accuracy == 7 / 8
    assert found.difference == found.difference_low == found.difference_high == 0
    assert (found.agreement, found.bytes, found.side) == (1, path.stat().st_size, SIDE)
    # In batches, too.
    monkeypatch.setattr(judging, "BATCH", 2)
    assert judge.judge(path, "stem", "float32", SIDE) == found
    other = {"stem": np.roll(expected, 1, axis=1)}
    worse = dataclasses.replace(judge, expected=other).judge(path, "stem", "float32", SIDE)
    assert worse.agreement == 0
    assert worse.difference == worse.test_accuracy - worse.keras_accuracy
    # What an int8 file answers is kept, as it may differ.
    quantized = folder / "stem_int8.tflite"
    judge.judge(quantized, "stem", "int8", SIDE)
    kept = predictions.read(tmp_path, manifest.VALIDATION)["stem_int8"]
    assert np.array_equal(kept, LiteRTClassifier(quantized, threads=1).probabilities(FRAMES))
    price = timing.measure([path]).prices["stem_float32.tflite"]
    priced = {"stem_float32": FilePrice.model_validate(price.numbers())}
    page.write(tmp_path / "page.html", Exports(exports={"stem_float32": found}), priced)
    shown = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in shown
    for cell in (
        "87.5% (",
        f"{price.ms_median:.2f}",
        f"{price.ms_p95:.2f}",
        f"{price.peak_mib:.0f}",
    ):
        assert f">{cell}" in shown
    page.write(tmp_path / "page.html", Exports(exports={}), {})
    assert "Nothing is exported" in (tmp_path / "page.html").read_text(encoding="utf-8")
