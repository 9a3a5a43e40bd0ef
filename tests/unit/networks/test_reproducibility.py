"""What a stage says on the terminal while TensorFlow is loaded: errors, and no remarks."""

import subprocess
import sys

from tests.support.project import ROOT

LOADING = """
from stemtune.core.settings.running import Runtime
from stemtune.networks import reproducibility
reproducibility.configure(Runtime(seed=1, threads=1), through_backbone=True)
import os, sys
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


def stderr_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr


def test_loading_tensorflow_says_nothing_and_what_follows_is_shown() -> None:
    assert stderr_of(LOADING) == "I0000 00:00:1.2 a remark later\nthe end\n"


def test_errors_pass_even_if_loading_ends_the_process() -> None:
    assert stderr_of(SAYING) == (
        "E0000 00:00:1.2 an error\nF0000 00:00:1.2 this processor lacks AVX\nunfinished"
    )
