"""Which stages a run of the pipeline ran, which it did not have to, and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from stemtune.core import lockfile, params
from stemtune.core.markdown import code
from stemtune.ingest import words

RUNNING = re.compile(r"^Running stage '(.+)':$")
RESTORED = re.compile(r"^Stage '(.+)' is cached - skipping run, checking out outputs$")
UNCHANGED = re.compile(r"^Stage '(.+)' didn't change, skipping$")
# Inputs and settings named one by one; dvc.lock has all.
NAMED = 4
# Words of `dvc status`, and ours.
CHANGES = {"modified": "changed", "deleted": "left", "new": "is new"}
LACKING = "dvc.lock lacks it"

Kind = Literal["ran", "restored", "unchanged", "failed", "not reached"]
Lock = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage.

    Attributes:
        stage: Its name.
        kind: `restored` is taken from DVC's run cache: the same work was done before.
        why: In words, Markdown.
    """

    stage: str
    kind: Kind
    why: str


def outcomes(
    stages: Sequence[str], printed: Sequence[str], failed: bool, before: Lock, after: Lock
) -> list[Outcome]:
    """Returns what became of each stage.

    Args:
        stages: All, in order.
        printed: The lines of `dvc repro`.
        failed: Whether it failed.
        before: The stages of dvc.lock before it.
        after: The stages of dvc.lock after it.

    Raises:
        ValueError: It succeeded, and yet does not say what it did with a stage.
    """
    ran, restored, unchanged = (
        [found[1] for line in printed if (found := pattern.match(line))]
        for pattern in (RUNNING, RESTORED, UNCHANGED)
    )
    result = []
    for stage in stages:
        causes = reasons(before.get(stage), after.get(stage, {}))
        if failed and ran and stage == ran[-1]:
            result.append(Outcome(stage, "failed", "see below"))
        elif stage in restored:
            result.append(Outcome(stage, "restored", f"{causes}; DVC's run cache has that work"))
        elif stage in ran:
            result.append(Outcome(stage, "ran", causes))
        elif stage in unchanged:
            result.append(Outcome(stage, "unchanged", "inputs, settings and code as in dvc.lock"))
        elif failed:
            result.append(Outcome(stage, "not reached", "a stage before it failed"))
        else:
            raise ValueError(f"`dvc repro` did not say what it did with stage {stage!r}")
    return result


def reasons(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Returns the differences between two entries of dvc.lock in words, outputs left out."""
    if not after.get("outs"):
        return "it has no outputs and runs always"
    if before is None:
        return "not in dvc.lock before"
    found = _differences(before, after, _inputs(before), _inputs(after))
    return words.some(found, named=NAMED) or "its outputs were neither here nor in the remote"


def stale(
    stages: Sequence[str], committed: Lock, here: Lock, status: Mapping[str, Sequence[Any]]
) -> dict[str, str]:
    """Returns which stages of a committed dvc.lock are not what `dvc repro` would write, and why.

    Commands, settings, code and data count. Whether outputs are at hand does not, nor would their
    bits on another kind of machine, where the last bits of trained weights differ.

    Args:
        stages: Of dvc.yaml.
        committed: The stages of dvc.lock in git.
        here: The stages of dvc.lock in this checkout, which may have run already.
        status: From `dvc status`, which looks at the one here.
    """
    made: dict[str, str] = {}
    for entry in committed.values():
        made |= lockfile.hashes(entry.get("outs"))
    folders = {str(folder) for path in made for folder in PurePosixPath(path).parents}
    result = {stage: LACKING for stage in stages if stage not in committed}
    for stage in committed:
        if stage not in stages:
            result[stage] = "dvc.yaml lacks it"
            continue
        then, now = committed[stage], here.get(stage, {})
        found = [
            f"{code(path)} is not what its own stage wrote"
            for path, md5 in _inputs(then).items()
            if made.get(path, md5) != md5
        ]
        if now:
            sources = [
                {
                    path: md5
                    for path, md5 in _inputs(entry).items()
                    if path not in made and path not in folders
                }
                for entry in (then, now)
            ]
            found += _differences(then, now, *sources)
        found += [text for text in _unlike(status.get(stage, []), made) if text not in found]
        if found:
            result[stage] = words.some(found, named=NAMED)
    return result


def _unlike(status: Sequence[Any], made: Mapping[str, str]) -> Iterator[str]:
    """Yields what `dvc status` says of a stage that a fresh checkout would not show anyway."""
    for part in status:
        if part == "changed command":
            yield "its command changed"
        if not isinstance(part, dict):
            continue
        for path, change in part.get("changed deps", {}).items():
            if isinstance(change, dict):
                yield from (f"{code(name)} {CHANGES.get(how, how)}" for name, how in change.items())
            elif path not in made or change == "modified":
                yield f"{code(path)} {CHANGES.get(change, change)}"
        for path, change in part.get("changed outs", {}).items():
            if change == "modified":
                yield f"{code(path)} is not the one in dvc.lock"


def _differences(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    inputs_before: Mapping[str, str],
    inputs_after: Mapping[str, str],
) -> list[str]:
    found = ["its command changed"] if before["cmd"] != after["cmd"] else []
    for name, old, new in _changed(_settings(before), _settings(after)):
        found.append(f"{code(name)} {_shown(old)} → {_shown(new)}")
    for path, old, new in _changed(inputs_before, inputs_after):
        how = "is new" if old is None else "left" if new is None else "changed"
        found.append(f"{code(path)} {how}")
    return found


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in [*after, *(name for name in before if name not in after)]:
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _inputs(entry: Mapping[str, Any]) -> dict[str, str]:
    return lockfile.hashes(entry.get("deps"))


def _settings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings by dotted name."""
    files = entry.get("params", {}).values()
    return {name: value for content in files for name, value in params.leaves(content)}


def _shown(value: Any) -> str:
    return code("null" if value is None else str(value))
