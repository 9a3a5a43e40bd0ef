"""One file per stage of dvc.yaml, named after it; `python -m stemtune.run STAGE` runs it."""

import sys

# By itself it would do nothing.
is_dry = "--dry-run" in sys.argv
if any(word.startswith("stages.") for word in sys.orig_argv[1:4]) and not is_dry:
    raise SystemExit("run a stage by its name: `python -m stemtune.run tune_lr`")
