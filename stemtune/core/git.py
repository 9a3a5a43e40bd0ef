"""What git knows of the project."""

import functools
import subprocess
import sys

# In git's message of a repository that is another user's, in any language.
SAFE_DIRECTORY = "safe.directory"


def git(*arguments: str) -> str:
    """Returns what git prints; "" in a project without git, which is allowed.

    If git refuses a repository of another user, it is "" too, with a warning.
    """
    command = ["git", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        return ""
    except subprocess.CalledProcessError as error:
        if SAFE_DIRECTORY in error.stderr:
            _warn(error.stderr.strip())
        return ""
    return done.stdout.strip()


@functools.cache
def _warn(refusal: str) -> None:
    """Says once that the project is another user's, as in many containers, in git's own words."""
    warning = f"WARNING: MLflow shows no commit for this run, because git says:\n{refusal}"
    print(warning, file=sys.stderr, flush=True)
