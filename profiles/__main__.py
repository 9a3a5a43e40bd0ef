"""Runs the pipeline with a profile over params.yaml, as an experiment of DVC's.

A profile, `profiles/<name>.yaml`, holds some settings, nested as in params.yaml. Stages and DVC
read params.yaml, which therefore holds both while they run, and is as it was afterwards.

Run:    make repro PROFILE=smoke, or python -m profiles smoke
"""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stemtune.core import all_params, dvc, errors, files, params
from stemtune.core.all_params import AllParams
from stemtune.core.errors import InputError
from stemtune.core.git import git
from stemtune.core.settings.block import Block

FOLDER = Path("profiles")
PARAMS = Path("params.yaml")
# Holds params.yaml as it was, while a profile is over it.
KEPT = Path(".params.yaml.kept")
# DVC commits an experiment, for which git wants a name, if the user has set none.
NOBODY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "profiles"), ("EMAIL", "profiles@localhost"))
}


def main() -> None:
    """Runs `dvc exp run` with the profile that is named; ends with its exit status."""
    if len(sys.argv) != 2:
        raise InputError(f"expected the name of a profile, one of {_known()}; got {sys.argv[1:]}")
    name = sys.argv[1]
    experiment = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with in_place(composed(name)):
        status = _run_experiment(experiment)
    if status:
        sys.exit(status)
    print(
        f"profiles: kept as the experiment {experiment}. params.yaml is as before; dvc.lock, "
        "metrics/ and the outputs are the experiment's. To go back to those committed: "
        "git checkout dvc.lock metrics && .venv/bin/dvc checkout"
    )


def composed(name: str) -> str:
    """Returns params.yaml with a profile over it, comments kept.

    Raises:
        InputError: There is no such profile, or it is no YAML.
        ParamsError: The settings are not accepted, as in `params.check`.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise InputError(
            f"there is no profile {name}; there are {_known()}, as {FOLDER}/<name>.yaml"
        )
    profile = files.read_yaml(path)
    if not isinstance(profile, dict):
        raise InputError(f"{path} holds no settings; expected some, nested as in {PARAMS}")
    all_params.load(PARAMS)
    content = files.read_yaml(PARAMS)
    put_over(content, profile, AllParams)
    params.check(AllParams, content, f"{PARAMS} with {path} over it")
    writer, written = YAML(), io.StringIO()
    document = writer.load(PARAMS.read_text(encoding="utf-8"))
    put_over(document, profile, AllParams)
    writer.dump(document, written)
    return written.getvalue()


def put_over(
    content: MutableMapping[str, Any], profile: Mapping[str, Any], block: type[Block]
) -> None:
    """Puts a profile's settings in the place of those of params.yaml.

    A block is gone through setting by setting. A setting is taken whole, a mapping of names such as
    add_stem.variants too: what the profile leaves out of it is not there.

    Args:
        content: Of params.yaml, or of a block in it; is changed.
        profile: The settings to put there. What is unknown is put there too, for a check to see.
        block: Says what is a block.
    """
    for name, value in profile.items():
        field = block.model_fields.get(name)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, Block) and isinstance(value, dict):
            put_over(content[name], value, inner)
        else:
            content[name] = value


@contextmanager
def in_place(text: str) -> Iterator[None]:
    """Has params.yaml hold a text; then it is as it was.

    Raises:
        InputError: Another profile is over it.
    """
    try:
        with KEPT.open("xb") as kept:
            kept.write(PARAMS.read_bytes())
    except FileExistsError:
        raise InputError(
            f"{KEPT} is there: a profile is running, or was killed and is still over {PARAMS}. "
            f"If none is running, take the settings back: mv {KEPT} {PARAMS}"
        ) from None
    try:
        files.write_text(PARAMS, text)
        yield
    finally:
        KEPT.replace(PARAMS)


def _run_experiment(name: str) -> int:
    command = [sys.executable, "-m", dvc.TERSE, "exp", "run", "--name", name]
    known = git("config", "user.name") and git("config", "user.email")
    with subprocess.Popen(command, env=({} if known else NOBODY) | os.environ) as run:  # noqa: S603
        # A terminal sends these to DVC too, which ends as it does without a profile.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: run.terminate())
        return run.wait()


def _known() -> str:
    return ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))


if __name__ == "__main__":
    errors.run("profiles", main)
