"""Which DVC remote a run shares results through."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from ci import commands
from stemtune.core.errors import InputError
from stemtune.core.markdown import code

# The folder in the repository that holds the sample clips: read, and never written to.
SAMPLES = "samples"
# Of a remote that is given by its address, in this checkout's own settings.
GIVEN = "ci"
# Settings of a remote that bring credentials; else they come from where S3's clients look.
CREDENTIALS = ("access_key_id", "profile", "credentialpath")


@dataclass(frozen=True)
class Remote:
    """A remote, and why it is the one.

    Attributes:
        name: In DVC's settings; None: there is none at all.
        shared: Whether results are pushed to it.
        said: What a reader of the summary should know.
    """

    name: str | None
    shared: bool
    said: str


def choose(wanted: str, may_push: bool) -> Remote:
    """Returns the remote to use.

    Without credentials for a bucket, as in a pull request from a fork, the sample clips' has to do.

    Args:
        wanted: Name of a remote in DVC's settings, or an address such as `s3://bucket/folder`; "":
            DVC's default.
        may_push: Whether this run may share its results, which later runs then trust.

    Raises:
        InputError: It is neither.
    """
    settings = commands.settings()
    configured: dict[str, Any] = settings["remote"]
    wanted = wanted or settings["core"].get("remote", "")
    if not wanted:
        return Remote(None, False, "No remote is set: outputs of other runs are not available.")
    if wanted == SAMPLES:
        return Remote(
            SAMPLES,
            False,
            "The sample remote holds clips alone: outputs of other runs are not available, and "
            "none are shared.",
        )
    if wanted not in configured and "/" not in wanted:
        raise InputError(
            f"{wanted!r} is no remote of this repository, which has {sorted(configured)}, and no "
            "address such as s3://bucket/folder"
        )
    remote = configured.get(wanted, {"url": wanted})
    address = code(remote["url"])
    if _needs_credentials(remote) and not _has_credentials():
        return Remote(
            SAMPLES,
            False,
            f"**No credentials for {address}**, as in a pull request from a fork: this ran "
            "on the sample remote. Outputs of other runs were not available, and none are shared.",
        )
    if wanted not in configured:
        commands.set_remote(GIVEN, wanted)
        wanted = GIVEN
    if remote.get("version_aware"):
        return Remote(
            wanted,
            False,
            f"Outputs are taken from {address}, and none are shared: that remote is version_aware. "
            "It has no run cache, and `dvc push` notes in dvc.lock what it holds, which CI does "
            "not commit.",
        )
    if not may_push:
        return Remote(
            wanted,
            False,
            f"Outputs are taken from {address}, and none are shared: runs of the main branch alone "
            "share theirs (--push).",
        )
    return Remote(wanted, True, f"Outputs are shared through {address}.")


def _needs_credentials(remote: dict[str, Any]) -> bool:
    return urlparse(remote["url"]).scheme == "s3" and not any(
        name in remote for name in CREDENTIALS
    )


def _has_credentials() -> bool:
    try:
        from botocore.session import Session
    except ModuleNotFoundError:
        raise InputError(
            "a remote on S3 needs the extra s3, dvc-s3 and boto3, which requirements.lock has"
        ) from None
    return Session().get_credentials() is not None
