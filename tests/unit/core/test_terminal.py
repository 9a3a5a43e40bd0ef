"""What a stage prints fits on a terminal, and Ctrl-C ends it with one line."""

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from bench.project import ROOT, inherited
from stemtune.core import terminal

# Some trainings in a stage, as the library counts them.
STAGE = """
import time
from stemtune.core import terminal
with terminal.showing("tune_lr"):
    with terminal.steps("tune_lr", 20, "epochs"):
        for trial in (1, 2):
            for _ in range(20):
                terminal.move(0.5, f"tune_lr: trial {trial}")
                time.sleep(0.03)
        print("a line above")
print(terminal.told(["0.01     99.9 ± 0.2    chosen"], ["try a larger one"], 9.4))
"""
INTERRUPTED = """
import time
from stemtune.core import errors
from stemtune.networks import reproducibility

def main():
    print("began", flush=True)
    reproducibility.load()
    time.sleep(60)

errors.run("tune_lr", main)
"""
RESULT = "  0.01     99.9 ± 0.2    chosen\n  hint: try a larger one" + "9 s".rjust(52)


def test_results_and_hints_are_wrapped_and_the_seconds_end_them() -> None:
    shown = terminal.told(["result " * 30, "short"], ["\x1b[2Jhint " * 30], 61.2)
    assert max(map(len, shown.splitlines())) <= 100
    assert "\x1b" not in shown
    assert shown.splitlines()[-1].strip().endswith("61 s")
    assert terminal.told([], [], 0.3).strip() == "0 s"
    long = "baseline: validation accuracy 99.7%, learning rate 0.01, epoch 5 of 5"
    assert terminal.told([long], [], 38) == f"  {long}  38 s"


def test_a_terminal_shows_one_line_of_what_how_far_and_how_long_still() -> None:
    leader, follower = pty.openpty()
    environment = inherited() | {"TERM": "xterm", "COLUMNS": "100", "PYTHONUTF8": "1"}
    done = subprocess.Popen(
        [sys.executable, "-c", STAGE], cwd=ROOT, env=environment, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown = bytearray()
    while True:
        try:
            some = os.read(leader, 4096)
        except OSError:
            break
        if not some:
            break
        shown += some
    os.close(leader)
    assert done.wait(timeout=30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).replace("\r\n", "\n")
    lines = re.split(r"[\r\n]", text)
    drawn = [line for line in lines if re.search(r"trial 2 .*1\d/20 epochs, 0:0\d min left", line)]
    assert drawn
    assert max(map(len, lines)) <= 100
    assert "a line above" in lines
    # Nothing of the line is left behind it.
    assert text.rstrip().endswith(RESULT)


def test_elsewhere_there_is_one_line_when_it_is_done() -> None:
    environment = inherited() | {"PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STAGE], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode() == f"a line above\n{RESULT}\n"


@pytest.mark.parametrize("seconds", [0.7, 1.5])
def test_ctrl_c_while_tensorflow_is_loaded_ends_with_one_line(seconds: float) -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(
        command, cwd=ROOT, env=inherited(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as begun:
        assert begun.stdout
        assert begun.stderr
        assert begun.stdout.readline() == b"began\n"
        time.sleep(seconds)
        begun.send_signal(signal.SIGINT)
        assert begun.stderr.read() == b"tune_lr: interrupted\n"
    assert begun.returncode == 130
