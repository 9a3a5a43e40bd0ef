"""Commands print what the pages show; only numbers and names of classes may differ."""

import contextlib
import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from stemtune.commands import arguments
from stemtune.commands.main import main
from stemtune.core.input_specification import InputSpecification
from stemtune.export import conversion
from stemtune.export.exports import Precision
from stemtune.networks import classifier
from tests.support import answered_files, clips, pages
from tests.support.classifiers import CLASSES, SIDE, tiny_classifier
from tests.unit.commands.test_recommend import WRONG
from tests.unit.export.test_export import FRAMES

COMMANDS, DEPLOYING = "docs/commands.md", "docs/deploy.md"
# Classes, kinds of files and a processor may be others.
NAMES = {
    r"chevron|dots|ribs\b": r"\w+",
    "float32|int8": "(?:float32|int8)",
    r"Intel\(R\) Xeon\(R\) Processor": r"[^,\"\n]+",
}
# Of a machine that others share, on standard error.
BUSY = r"stemtune time: other programs had the processor for .+\n?"
PROGRAM = ".venv/bin/stemtune"
SHOWN = [each for each in pages.shown(COMMANDS, NAMES) if each.command.startswith(PROGRAM)]
FILES: dict[str, Precision] = {
    "retrained_112_float32": "float32",
    "retrained_224_float32": "float32",
    "retrained_224_int8": "int8",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages' commands name."""
    root = tmp_path_factory.mktemp("project")
    answered_files.make_project(root, WRONG)
    takes = InputSpecification(frames_per_clip=3, size=SIDE, side=SIDE)
    stored = root / "models/baseline"
    classifier.save(tiny_classifier(False), CLASSES, takes, stored)
    for name, precision in FILES.items():
        made = conversion.write(classifier.load(stored), stored, precision, FRAMES, root)
        shutil.move(made, root / f"exports/{name}.tflite")
    for seed, label in enumerate(("chevron", "dots")):
        clips.write_frames(
            root / f"data/{label}/{label}_s01_c0.mp4", clips.scene(seed, frames=23), rate=10
        )
    (root / "broken.mp4").write_text("no video")
    for seed, name in enumerate(("train/knit/a", "test/purl/c", "train/knit/b")):
        clips.write_frames(root / f"any/{name}.mp4", clips.scene(seed))
    (root / "any/test/knit").mkdir()
    for name, copy in (("train/knit/a", "test/knit/again"), ("test/purl/c", "test/knit/c")):
        shutil.copy(root / f"any/{name}.mp4", root / f"any/{copy}.mp4")
    (root / "any/train/purl").mkdir()
    (root / "any/train/purl/notes.txt").write_text("no clip")
    return root


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.command.split()[1])
def test_a_command_prints_what_its_page_shows(
    shown: pages.Shown,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    _, *words = shlex.split(shown.command)
    named = [[*map(str, sorted(Path().glob(word)))] or [word] for word in words]
    with contextlib.redirect_stderr(sys.stdout):
        status = main([*itertools.chain(*named)])
    # Of a clip that cannot be read, and of footage that is shared.
    assert status == (1 if shown.command.endswith(("broken.mp4", "leaks any")) else 0)
    printed = re.sub(BUSY, "", capsys.readouterr().out).strip()
    # Pages are about a project with an environment in it.
    printed = printed.replace(arguments.program(), PROGRAM)
    assert shown.printed.fullmatch(printed), printed


def test_the_program_for_a_file_prints_what_its_page_shows(project: Path) -> None:
    [block] = [block for block in pages.blocks(DEPLOYING) if "Interpreter(" in block]
    (project / "classify.py").write_text(block.partition("\n$ ")[0])
    Image.fromarray(FRAMES[0]).save(project / "frame.png")
    command = [sys.executable, "classify.py"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    [shown] = [each for each in pages.shown(DEPLOYING, NAMES) if each.command.startswith("python")]
    assert shown.printed.fullmatch(done.stdout.strip()), done.stdout
