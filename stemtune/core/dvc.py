"""The DVC that runs this process, and the project that it runs it for."""

import locale
import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from stemtune.core.git import git

# Set by DVC for each stage: its name, and where its project is, also in a copy.
STAGE_VARIABLE, ROOT_VARIABLE = "DVC_STAGE", "DVC_ROOT"
# DVC as `make repro` runs it.
TERSE = "stemtune.commands.terse_dvc"
# In a project: where `dvc exp run --queue` and `--temp` copy it to, and run it.
COPIES = Path(".dvc/tmp/exps")


def project() -> Path:
    """Returns the project that runs belong to: this folder, or the one that DVC copied.

    DVC deletes its copy once the experiment is over.
    """
    here, named = Path.cwd(), os.environ.get(ROOT_VARIABLE)
    for origin in ([Path(named)] if named else []) + list(here.parents):
        if here.is_relative_to((origin / COPIES).resolve()):
            # The project may be in a folder below DVC's, or DVC's below git's.
            top = git("-C", str(origin), "rev-parse", "--show-toplevel")
            return Path(top or origin) / git("rev-parse", "--show-prefix")
    return Path()


def owner(process: psutil.Process) -> psutil.Process:
    """Returns the process that a pipeline run lives and dies with: the nearest DVC above.

    Without one, it is the Python program above, if that runs the stage by DVC's Python API.

    Args:
        process: A part of the run. If DVC did not start it, it is a pipeline run of its own.
    """
    above = process.parents()
    return next(filter(_is_dvc, above), None) or _caller(process, above) or process


def is_orphan() -> bool:
    """Returns whether DVC started this process and has ended since."""
    process = psutil.Process()
    return bool(os.environ.get(STAGE_VARIABLE)) and owner(process) == process


def encoding() -> str:
    """Returns the encoding in which the DVC that runs this process reads names of files.

    Stages read them as UTF-8, whatever the locale, by `PYTHONUTF8` in stages/run.
    """
    process = psutil.Process()
    whole = owner(process)
    is_utf8 = whole == process or whole.environ().get("PYTHONUTF8") == "1"
    return "utf-8" if is_utf8 else locale.getencoding()


def is_command(words: Sequence[str]) -> bool:
    """Returns whether a command line is DVC's: its program, its script, or `python -m dvc`.

    `sudo -u dvc make` and `screen -S dvc` are not.
    """
    program, rest = Path(words[0] if words else "").name, list(words[1:])
    if not program.lower().startswith("python"):
        return program == "dvc"
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-c", "-m"):
            return option == "-m" and rest[:1] in (["dvc"], [TERSE])
        if option in ("-W", "-X"):
            del rest[:1]
    return bool(rest) and Path(rest[0]).name == "dvc"


def _caller(process: psutil.Process, above: Sequence[psutil.Process]) -> psutil.Process | None:
    """Returns the Python program that started this stage, if there is one.

    A stage whose DVC was killed is the child of a process that takes in orphans, such as init. That
    may be Python too, but belongs to another session.
    """
    if not os.environ.get(STAGE_VARIABLE):
        return None
    for parent in above:
        try:
            name = Path((parent.cmdline() or [""])[0]).name.lower()
            if os.getsid(parent.pid) != os.getsid(process.pid):
                return None
        except (psutil.Error, OSError):
            return None
        if name.startswith("python"):
            return parent
        # Its shell.
        if not name.endswith("sh"):
            return None
    return None


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return is_command(process.cmdline())
    except psutil.Error:
        # It ended just now, or is another user's, and then not the DVC that started this.
        return False
