"""What a stage says on the terminal while TensorFlow is loaded: errors, and no remarks."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT

LOADING = """
from stemtune.core.settings.running import Runtime
from stemtune.networks import reproducibility
reproducibility.configure(Runtime(seed=1, threads=1))
import os, sys, tempfile
print(tempfile.gettempdir(), oct(os.stat(tempfile.gettempdir()).st_mode & 0o777))
os.write(2, b"I0000 00:00:1.2 a remark later\\n")
print("the end", file=sys.stderr)
"""
SAYING = """
import os
from stemtune.networks import reproducibility
with reproducibility.without_remarks():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\\n")
    os.write(2, b"I0000 00:00:1.2 a remark\\nW0000 00:00:1.2 no GPU\\nE0000 00:00:1.2 an error\\n")
    os.write(2, b"F0000 00:00:1.2 this processor lacks AVX\\nunfinished")
    os.abort()
"""


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-c", program], os.environ | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_loading_tensorflow_says_nothing_and_leaves_nothing_where_others_write(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o1777)
    done = run(LOADING, TMPDIR=str(tmp_path))
    assert done.stderr == "I0000 00:00:1.2 a remark later\nthe end\n"
    folder, mode = done.stdout.split()
    assert Path(folder).parent == tmp_path
    assert mode == "0o700"
    assert not list(tmp_path.iterdir())


GUEST = """
import os, tempfile
from stemtune.networks import reproducibility
before = dict(os.environ), tempfile.gettempdir()
reproducibility.load_as_guest()
import keras
assert keras.config.backend() == "tensorflow"
names = ("KERAS_BACKEND", "TF_DETERMINISTIC_OPS", "XLA_FLAGS")
changed = [name for name in names if os.environ.get(name) != before[0].get(name)]
print(changed, tempfile.gettempdir() == before[1])
"""


def test_a_model_that_others_load_leaves_their_process_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    flags = {"XLA_FLAGS": "--xla_dump_to=nowhere", "TF_DETERMINISTIC_OPS": "1"}
    assert run(GUEST, TMPDIR=str(tmp_path), **flags).stdout == "[] True\n"


def test_a_keras_file_that_keras_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text('{"floatx": "bfloat16"}')
    done = run(LOADING, KERAS_HOME=str(tmp_path))
    assert f"InputError: Keras cannot read {tmp_path}/keras.json: " in done.stderr


def test_errors_pass_even_if_loading_ends_the_process() -> None:
    assert run(SAYING).stderr == (
        "E0000 00:00:1.2 an error\nF0000 00:00:1.2 this processor lacks AVX\nunfinished"
    )
