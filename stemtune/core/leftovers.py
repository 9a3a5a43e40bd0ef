"""Takes away what is left of a variant of the stem that params.yaml no longer has.

DVC deletes the outputs of a stage before it runs; of a stage that is gone it forgets them, and
leaves its entry in dvc.lock. evaluate depends on models/stem as a whole, so that another checkout,
where nothing is left, would come to another dvc.lock.
"""

import re
import shutil
from collections.abc import Collection

from stemtune.core import files, records
from stemtune.core.paths import LOCK, STEMS

STAGE = "add_stem@"
# What a variant can be named; a folder of another name is not one's.
NAME = re.compile(r"[a-z][a-z0-9_]*")


def remove(variants: Collection[str], stage: str) -> None:
    """Deletes folders, records and entries of dvc.lock of all variants but these.

    It is for evaluate to call before it reads models/stem, and for track, since DVC may take what
    evaluate does from its run cache. DVC notes what a stage depends on when the stage has ended, so
    that it notes the folder as it is then.

    Args:
        variants: Those that params.yaml has.
        stage: Which tells what it took away.
    """
    folders = {path.name: path for path in STEMS.glob("*") if NAME.fullmatch(path.name)}
    notes = {path.stem.removeprefix(STAGE): path for path in records.FOLDER.glob(f"{STAGE}*.json")}
    stages = (files.read_yaml(LOCK) or {}).get("stages", {}) if LOCK.exists() else {}
    locked = {name.removeprefix(STAGE) for name in stages if name.startswith(STAGE)}
    gone = sorted((folders.keys() | notes.keys() | locked) - set(variants))
    if not gone:
        return
    _forget([f"{STAGE}{name}" for name in gone if name in locked])
    for name in gone:
        if name in notes:
            notes[name].unlink()
        # Last: as long as it is there, DVC reruns evaluate.
        if name in folders:
            shutil.rmtree(folders[name])
    print(
        f"{stage}: took away what was left of {', '.join(gone)}: params.yaml, add_stem.variants, "
        f"has {', '.join(variants)}",
        flush=True,
    )


def _forget(stages: Collection[str]) -> None:
    """Removes stages from dvc.lock, which DVC reads again whenever it writes it."""
    if not stages:
        return
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    content = parse_yaml_for_update(LOCK.read_text(encoding="utf-8"), str(LOCK))
    for stage in stages:
        del content["stages"][stage]
    files.write_text(LOCK, dumps_yaml(content))
