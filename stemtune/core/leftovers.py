"""Removes the outputs of stem variants that params.yaml no longer lists.

DVC deletes the outputs of a stage before it runs. It forgets the outputs of a stage that is gone,
and leaves its entry in dvc.lock. evaluate depends on models/stem as a whole, so a checkout
without them would write another dvc.lock.
"""

import re
import shutil
from collections.abc import Collection

from stemtune.core import lockfile, records, terminal
from stemtune.core.paths import LOCK, STEMS, UNFINISHED_SEARCH

STAGE = "add_stem@"
# What a variant can be named; a folder of another name is not one's.
NAME = re.compile(r"[a-z][a-z0-9_]*")


def remove(variants: Collection[str], stage: str, in_lock: bool = False) -> None:
    """Deletes folders, records and entries of dvc.lock of all variants but these.

    Every stage does so before it begins, evaluate among them: DVC notes the folder that a stage
    depends on when the stage has ended. DVC may take all of them from its run cache, so track does
    it as well.

    Args:
        variants: Those that params.yaml lists.
        stage: Named in the message.
        in_lock: Whether to look for more of them in dvc.lock, which takes most of a second.
    """
    gone = {path.name for path in STEMS.glob("*") if NAME.fullmatch(path.name)}
    gone |= {path.stem.removeprefix(STAGE) for path in records.FOLDER.glob(f"{STAGE}*.json")}
    if in_lock:
        locked = lockfile.entries(LOCK)
        gone |= {name.removeprefix(STAGE) for name in locked if name.startswith(STAGE)}
    gone -= set(variants)
    if not gone:
        return
    if LOCK.exists():
        from dvc.utils.serialize import modify_yaml

        # DVC reads the file again whenever it writes it.
        with modify_yaml(str(LOCK)) as content:
            for name in gone:
                content.get("stages", {}).pop(STAGE + name, None)
    for name in gone:
        records.path_of(STAGE + name).unlink(missing_ok=True)
        shutil.rmtree(UNFINISHED_SEARCH / (STAGE + name), ignore_errors=True)
        # Last: while it is there, DVC reruns evaluate.
        if (STEMS / name).exists():
            shutil.rmtree(STEMS / name)
    told = (
        f"{stage}: removed the outputs of {', '.join(sorted(gone))}: params.yaml, "
        f"add_stem.variants, lists {', '.join(variants)}"
    )
    print(terminal.wrapped(told), flush=True)
