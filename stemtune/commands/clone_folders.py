"""Says in a clone's `.dvc/config.local` where DVC keeps what; `make` runs it.

Clones of one user share DVC's cache: what one has computed, the others take over. DVC also keeps
pickles, which it reads again. Unless told otherwise they are in /var/tmp/dvc, where every user of
the machine may write.

Run: python -m stemtune.commands.clone_folders
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from dvc.config import Config

DVC = Path(".dvc")
# What is written to DVC's configuration and read back as it was.
PLAIN = re.compile(r"[ -~]*", re.ASCII)
CACHE, PRIVATE = ("cache", "dir"), ("core", "site_cache_dir")


def main() -> None:
    """Sets both folders where neither the user nor an earlier call has."""
    config = Config(str(DVC.absolute()))
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()
    if not (DVC / "cache").exists():
        _settle(config, CACHE, home / "stemtune")
    _settle(config, PRIVATE, home / "stemtune-dvc", private=True)


def _settle(config: Config, key: tuple[str, str], wanted: Path, private: bool = False) -> None:
    """Keeps a folder in the configuration, if it can be written."""
    section, name = key
    kept = config.get(section, {}).get(name)
    folder = Path(kept or wanted)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One that the user has set keeps its mode.
        if private and folder == wanted:
            folder.chmod(0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if kept:
            sys.exit(
                f"make: {folder} cannot be written ({error.strerror}), which {_file(config, key)} "
                f"names as {section}.{name}: make it writable, name another folder there, or "
                "delete the line"
            )
        print(
            f"make: {folder} cannot be written ({error.strerror}), so DVC's own place is used; "
            "HOME or XDG_CACHE_HOME names another",
            file=sys.stderr,
        )
        return
    if not kept and not PLAIN.fullmatch(str(folder)):
        print(
            f"make: DVC cannot keep {folder} in its configuration, which is ASCII without %, so "
            "its own place is used; XDG_CACHE_HOME names another",
            file=sys.stderr,
        )
    elif not kept:
        with config.edit("local") as local:
            local.setdefault(section, {})[name] = str(folder)


def _file(config: Config, key: tuple[str, str]) -> str:
    """Returns the file that a setting is from."""
    section, name = key
    levels = [level for level in reversed(config.LEVELS) if level in config.files]
    return next(
        str(config.files[level]) for level in levels if name in config.read(level).get(section, {})
    )


if __name__ == "__main__":
    main()
