"""Clips are decoded in processes that a bad one ends, and the next is decoded all the same."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from stemtune.core.settings.frames import Limits
from stemtune.media import decoding, parallel, sandbox_process
from stemtune.media.sampling import DecodeError, LimitError, Sample, Span
from stemtune.media.sandbox import BusyError, CrashError, OvertimeError, Sandbox
from tests.support import clips
from tests.support.clips import WriteClip
from tests.support.project import ROOT

SIDE = 32
# Of a busy machine, seconds.
PATIENCE = 60
LIMITS = Limits(decode_seconds=60, pixels=20_000**2, frames=10_000, memory_mib=1024)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(LIMITS, decoders=1)
    yield made
    made.close()


def decoders(of: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in of.children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "sandbox_process" in " ".join(child.cmdline()):
                found.append(child)
    return found


def has_open(decoder: psutil.Process, clip: Path) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(file.path == str(clip) for file in decoder.open_files())
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_frames_are_those_that_this_process_would_take(
    sandbox: Sandbox, write_clip: WriteClip
) -> None:
    clip = write_clip("clip.mp4", [0, 40, 80, 120, 160, 200, 240, 10])
    for span in (None, Span(0.2, 0.6)):
        own = decoding.sample_frames(clip, 2, SIDE, LIMITS, span)
        sample = sandbox.sample(clip, 2, SIDE, span=span)
        assert np.array_equal(sample.frames, own.frames)
        assert sample.seconds.tolist() == own.seconds.tolist()
        assert (sample.width, sample.height, sample.duration) == (96, 64, 0.8)
    assert own.seconds.tolist() == pytest.approx([0.3, 0.5])
    assert len(decoders(psutil.Process())) == 1


def test_a_clip_that_takes_too_long_or_too_much_costs_itself_alone(
    sandbox: Sandbox, tmp_path: Path, write_clip: WriteClip
) -> None:
    clip, endless, bomb = write_clip("clip.mp4", [9]), tmp_path / "a.gif", tmp_path / "b.png"
    endless.write_bytes(clips.endless())
    bomb.write_bytes(clips.bomb(19_000))
    with pytest.raises(LimitError, match=r"was not decoded in the 0\.5 s"):
        sandbox.sample(endless, 2, SIDE, seconds=0.5)
    assert not decoders(psutil.Process())
    with pytest.raises(LimitError, match=r"more memory than limits\.memory_mib allows, 1024 MiB"):
        sandbox.sample(bomb, 2, SIDE)
    with pytest.raises(DecodeError, match="cannot be decoded"):
        sandbox.sample(Path(__file__), 2, SIDE)
    assert sandbox.sample(clip, 2, SIDE).frames.shape == (2, SIDE, SIDE, 3)


def test_a_clip_that_ends_its_decoder_is_refused_and_a_broken_decoder_is_replaced(
    sandbox: Sandbox, tmp_path: Path, write_clip: WriteClip
) -> None:
    clip, endless = write_clip("clip.mp4", [9]), tmp_path / "a.gif"
    endless.write_bytes(clips.endless())
    assert len(sandbox.sample(clip, 2, SIDE).frames) == 2
    (idle,) = decoders(psutil.Process())
    idle.kill()
    assert len(sandbox.sample(clip, 2, SIDE).frames) == 2

    def kill_both() -> None:
        # The one that is there and the one that tries again.
        killed: set[int] = set()
        until = time.monotonic() + PATIENCE
        while len(killed) < 2 and time.monotonic() < until:
            for each in decoders(psutil.Process()):
                if each.pid not in killed and has_open(each, endless):
                    each.kill()
                    killed.add(each.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_both, daemon=True)
    killer.start()
    with pytest.raises(CrashError, match=r"crashed its decoder \(exit code -9\)"):
        sandbox.sample(endless, 2, SIDE)
    killer.join()


def test_who_waits_too_long_for_a_decoder_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    endless = tmp_path / "a.gif"
    endless.write_bytes(clips.endless())

    def occupy() -> None:
        with pytest.raises(LimitError):
            sandbox.sample(endless, 2, SIDE, seconds=2)

    first = threading.Thread(target=occupy)
    first.start()
    wait_until(lambda: bool(decoders(psutil.Process())))
    with pytest.raises(BusyError, match="all decoders are at work"):
        sandbox.sample(endless, 2, SIDE, seconds=0.1)
    # Gets a decoder for what is left of its time, which says nothing of the clip.
    with pytest.raises(BusyError, match=r"at work.*; try again"):
        sandbox.sample(endless, 2, SIDE, seconds=3)
    first.join()


def test_a_decoder_knows_no_secrets_and_cannot_raise_its_limits(
    sandbox: Sandbox, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("LC_TIME", "C")
    assert len(sandbox.sample(write_clip("clip.mp4", [9]), 1, SIDE).frames) == 1
    (decoder,) = decoders(psutil.Process())
    environment = decoder.environ()
    assert "s3cret" not in environment.values()
    assert {"PATH", "PYTHONPATH", "LC_TIME"} <= set(environment)
    assert decoder.rlimit(resource.RLIMIT_AS) == (2**30, 2**30)
    assert decoder.rlimit(resource.RLIMIT_CORE) == (0, 0)


def test_an_open_clip_is_decoded_whatever_its_name_leads_to_now(
    sandbox: Sandbox, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip, other = write_clip("clip.mp4", [20]), write_clip("other.mp4", [200])
    expected = sandbox.sample(clip, 1, SIDE).frames
    with clip.open("rb") as opened:
        opened.seek(50)
        other.replace(clip)
        for _ in range(2):
            assert np.array_equal(sandbox.sample(opened, 1, SIDE).frames, expected)
        job = sandbox_process.Job(None, 1, SIDE, None)
        # Systems without it get a copy.
        monkeypatch.setattr(sandbox_process, "DESCRIPTORS", tmp_path / "nowhere")
        with sandbox_process._path(job, [os.dup(opened.fileno())]) as copy:
            own = decoding.sample_frames(copy, 1, SIDE, LIMITS)
        assert np.array_equal(own.frames, expected)
        assert not copy.exists()


def test_a_busy_machine_costs_a_clip_none_of_its_time(write_clip: WriteClip) -> None:
    clip = write_clip("clip.mp4", [9])
    endless = clip.with_name("a.gif")
    endless.write_bytes(clips.endless())
    limits = LIMITS.model_copy(update={"decode_seconds": 0.5})
    with Sandbox(limits, decoders=1) as sandbox:
        sandbox.sample(clip, 1, SIDE)
        (decoder,) = decoders(psutil.Process())
        decoder.suspend()
        threading.Timer(1, decoder.resume).start()
        assert len(sandbox.sample(clip, 1, SIDE).frames) == 1
        with pytest.raises(OvertimeError, match=r"limits\.decode_seconds allows, 0\.5 s"):
            sandbox.sample(endless, 1, SIDE)


BROKEN_DECODER = """
import os, socket, sys, time
connection = socket.socket(fileno=int(sys.argv[1]))
connection.sendall(b"ready")
connection.recv(9999)
connection.sendall({sent!r})
{then}
"""
FRAME = b'{"seconds": [0], "available": 1, "width": 9, "height": 9, "duration": 0}'
BEGUN = len(FRAME).to_bytes(4, "little") + FRAME + bytes(5)


SLEEP, DIE = "time.sleep(60)", "os.kill(os.getpid(), 9)"
EXIT_CODE = r"crashed its decoder \(exit code -9\)"


@pytest.mark.parametrize(
    ("sent", "then", "kind", "said"),
    [
        pytest.param(BEGUN, DIE, CrashError, EXIT_CODE, id="killed within its answer"),
        pytest.param(BEGUN, SLEEP, OvertimeError, "was not decoded in the", id="stuck within it"),
        pytest.param(b"\xff" * 9, SLEEP, CrashError, "broke its decoder", id="4 GiB announced"),
        pytest.param(
            BEGUN.replace(b"[0]", b"[]0"), SLEEP, CrashError, "broke its decoder", id="no JSON"
        ),
        pytest.param(
            BEGUN.replace(b"[0], ", b"[],  "),
            SLEEP,
            CrashError,
            "broke its decoder",
            id="no frames",
        ),
    ],
)
def test_a_decoder_that_is_killed_or_stuck_or_taken_over_while_it_answers_costs_its_clip_alone(
    sandbox: Sandbox,
    write_clip: WriteClip,
    monkeypatch: pytest.MonkeyPatch,
    sent: bytes,
    then: str,
    kind: type[Exception],
    said: str,
) -> None:
    clip = write_clip("clip.mp4", [9])
    with monkeypatch.context() as patch:
        clip.with_name("broken_decoder.py").write_text(BROKEN_DECODER.format(sent=sent, then=then))
        patch.syspath_prepend(clip.parent)
        patch.setattr(sandbox_process, "__name__", "broken_decoder")
        with pytest.raises(kind, match=said):
            sandbox.sample(clip, 1, SIDE, seconds=0.5)
    assert len(sandbox.sample(clip, 1, SIDE).frames) == 1


def look(sandbox: Sandbox, clip: Path) -> Sample | str:
    try:
        return sandbox.sample(clip, 1, SIDE)
    except DecodeError as error:
        return str(error)


def test_results_come_in_order_and_a_mistake_names_its_clip(write_clip: WriteClip) -> None:
    good = [write_clip(f"{number}.mp4", [50 * number]) for number in range(4)]
    with Sandbox(LIMITS, decoders=2) as sandbox:
        found = list(parallel.results(sandbox, look, [*good, Path(__file__)], "looking"))
        broken = found.pop()
        assert "cannot be decoded" in str(broken)
        means = [each.frames.mean() for each in found if isinstance(each, Sample)]
        assert means == sorted(means)
        assert len(set(means)) == 4

        def mistaken(_: Sandbox, clip: Path) -> None:
            raise KeyError(clip.name)

        with pytest.raises(KeyError) as error:
            list(parallel.results(sandbox, mistaken, [good[1]], "looking"))
    assert error.value.__notes__[-1] == f"This happened with {good[1]}."


def test_an_interrupt_ends_the_decoders_at_once(write_clip: WriteClip) -> None:
    clip = write_clip("clip.mp4", [9])
    endless = clip.with_name("a.gif")
    endless.write_bytes(clips.endless())
    results = parallel.results(Sandbox(LIMITS, 2), look, [clip, *[endless] * 6], "looking")
    assert isinstance(next(results), Sample)
    assert isinstance(results, Generator)
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt)
    assert not decoders(psutil.Process())


FORKED = """
import os, sys
from pathlib import Path
from stemtune.core.settings.frames import Limits
from stemtune.media.sandbox import Sandbox
sandbox = Sandbox(Limits(decode_seconds=60, pixels=10**8, frames=10_000, memory_mib=1024), 1)
dark, light = map(Path, sys.argv[1:])
sandbox.sample(dark, 1, 32)
child = os.fork()
mean = sandbox.sample(dark if child else light, 1, 32).frames.mean()
if not child:
    os._exit(0 if mean > 150 else 1)
print(mean < 100, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_was_forked_gets_the_frames_of_its_own_clip(write_clip: WriteClip) -> None:
    command = [sys.executable, "-c", FORKED]
    command += [str(write_clip("dark.mp4", [20])), str(write_clip("light.mp4", [230]))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True 0\n", "")


def test_a_shell_that_allows_less_memory_than_the_settings_is_heeded(write_clip: WriteClip) -> None:
    done = subprocess.run(
        ["bash", "-c", 'ulimit -v 3000000; exec "$0" "$@"', sys.executable, "-c", OWNER, "4096",
         str(write_clip("clip.mp4", [9]))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("decoded\n", "")


OWNER = """
import sys, threading
from pathlib import Path
from stemtune.core.settings.frames import Limits
from stemtune.media.sandbox import Sandbox
limits = Limits(decode_seconds=60, pixels=10**8, frames=10_000, memory_mib=int(sys.argv[1]))
sandbox = Sandbox(limits, decoders=2)
for clip in sys.argv[3:]:
    threading.Thread(target=sandbox.sample, args=[Path(clip), 1, 32]).start()
sandbox.sample(Path(sys.argv[2]), 1, 32)
print("decoded", flush=True)
sys.argv[3:] and threading.Event().wait()
"""


def test_decoders_end_with_a_script_that_is_killed_and_needs_no_main_guard(
    write_clip: WriteClip,
) -> None:
    clip = write_clip("clip.mp4", [9])
    endless = clip.with_name("a.gif")
    endless.write_bytes(clips.endless())
    script = clip.with_name("owner.py")
    script.write_text(OWNER)
    owner = subprocess.Popen(
        [sys.executable, str(script), "1024", str(clip), str(endless)],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    assert owner.stdout.readline() == "decoded\n"
    process = psutil.Process(owner.pid)
    wait_until(lambda: any(has_open(each, endless) for each in decoders(process)))
    both = decoders(process)
    owner.kill()
    owner.wait()
    assert len(both) == 2
    _, alive = psutil.wait_procs(both, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
