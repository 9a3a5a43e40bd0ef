"""Clips that stay in a DVC remote on S3: fetched when they are decoded, and not kept."""

import hashlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from bench.project import attempt, inherited, prepare, run, write_noise
from stemtune.core import files
from stemtune.store import arrays, manifest
from tests.support import clips
from tests.support.bucket import Bucket, serving
from tests.support.project import ROOT, Project

pytestmark = pytest.mark.slow

SIDE = 72
STAGE = "extract_frames"
RUN = ("sh", "stages/run", STAGE)
# As docs/data.md says it.
INPUT = ("      - data\n", "      - data.list\n")
OUTPUT = ("    outs:\n", "    outs:\n      - fetched.txt:\n          persist: true\n")


class Requests(logging.Handler):
    """What the server was asked for, in the order of its log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def fetched(self, project: Project) -> list[str]:
        """Returns the clips of a project's data folder that were fetched since the last time."""
        lines, self.lines = self.lines, []
        names = {f"{md5[:2]}/{md5[2:]}": name for name, md5 in md5s(project).items()}
        # DVC asks whether they are there, too, by HEAD.
        asked = re.findall(r"GET \S+/files/md5/(\w\w/\w{30}) ", "\n".join(lines))
        return sorted(names[key] for key in asked if key in names)


def md5s(project: Project) -> dict[str, str]:
    """Returns the MD5 of each clip by name."""
    return {
        path.relative_to(project.root / "data").as_posix(): files.md5(path)
        for path in (project.root / "data").glob("*/*.*")
    }


def made(project: Project) -> dict[str, str]:
    """Returns checksums of what extract_frames makes of clips alone."""
    found = files.checksums(project.root / "frames")
    return found | {"manifest": files.md5(project.root / "manifest.parquet")}


def kept(project: Project, clips_of: Project) -> list[str]:
    """Returns the files of a project that hold a clip, DVC's cache and site cache included."""
    known = set(md5s(clips_of).values())
    return [
        path.relative_to(project.root).as_posix()
        for path in project.root.rglob("*")
        if path.is_file() and files.md5(path) in known
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def bucket(server: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    return server.enter_context(serving("team", str(tmp_path_factory.mktemp("home"))))


@pytest.fixture(scope="module")
def requests(bucket: Bucket) -> Iterator[Requests]:
    log, handler = logging.getLogger("werkzeug"), Requests()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    yield handler
    log.removeHandler(handler)
    log.propagate = True


@pytest.fixture(scope="module")
def author(
    bucket: Bucket, warm: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project with its clips in data/, whose frames were extracted, and which were pushed."""
    project = Project(tmp_path_factory.mktemp("author"))
    project.environment = warm | bucket.environment
    project.set_params(extract_frames={"size": SIDE, "frames_per_clip": 2, "max_quarantined": 0.5})
    clips.write_frames(project.root / "data/dark/video.mp4", clips.scene(1))
    (project.root / "data/dark/broken.mp4").write_bytes(b"no clip")
    project.add_pictures(per_split=2, side=SIDE)
    project.run("dvc", "remote", "add", "--default", "team", f"s3://{bucket.name}/dvc")
    project.repro(STAGE)
    project.run("dvc", "push", "--quiet", "data.dvc")
    project.commit("Compare on two classes")
    yield project
    project.remove()


@pytest.fixture(scope="module")
def clone(author: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A clone whose clips stay in the remote."""
    clone = author.clone(tmp_path_factory.mktemp("clones") / "clone")
    (clone.root / "data.list").symlink_to("data.dvc")
    pipeline = (clone.root / "dvc.yaml").read_text()
    for old, new in (INPUT, OUTPUT):
        pipeline = pipeline.replace(old, new, 1)
    (clone.root / "dvc.yaml").write_text(pipeline)
    yield clone
    clone.remove()


def test_frames_and_manifest_are_those_of_clips_on_the_disk_and_no_clip_stays(
    author: Project, clone: Project, requests: Requests
) -> None:
    requests.lines.clear()
    assert clone.repro(STAGE) == [STAGE]
    assert requests.fetched(author) == sorted(md5s(author))
    assert made(clone) == made(author)
    assert not (clone.root / "data").exists()
    assert kept(clone, author) == []
    assert kept(author, author) != []


def test_nothing_is_fetched_again(author: Project, clone: Project, requests: Requests) -> None:
    clone.run(*RUN)
    assert requests.fetched(author) == []
    # Of a content with an entry, whose checksum was forgotten, the entry is found.
    (clone.root / "fetched.txt").unlink()
    told = clone.run("python", "-m", "stages.extract_frames", "--dry-run")
    assert "0 are known, 14 are new" in told
    entries = {path: path.stat().st_mtime_ns for path in clone.root.glob("frames/*/*")}
    assert "0 decoded" in clone.run(*RUN)
    assert {path: path.stat().st_mtime_ns for path in clone.root.glob("frames/*/*")} == entries
    assert requests.fetched(author) == sorted(md5s(author))


def test_of_a_clip_that_was_added_a_fresh_clone_fetches_that_one(
    author: Project, clone: Project, requests: Requests, tmp_path: Path
) -> None:
    clone.run("dvc", "push", "--quiet", STAGE)
    clone.commit("Leave clips in the remote")
    write_noise(author.root / "data/light/new.png", 150, SIDE, np.random.default_rng(5))
    author.run("dvc", "add", "--quiet", "data")
    author.run("dvc", "push", "--quiet", "data.dvc")
    other = clone.clone(tmp_path / "other")
    other.run("dvc", "pull", "--quiet", STAGE)
    before = made(other)
    shutil.copy(author.root / "data.dvc", other.root / "data.dvc")
    requests.lines.clear()
    assert other.repro(STAGE) == [STAGE]
    assert requests.fetched(author) == ["light/new.png"]
    assert before.items() - made(other).items() == {("manifest", before["manifest"])}
    table = manifest.read(other.root / "manifest.parquet").set_index("clip")
    assert table.loc["light/new.png", "quarantined"] == ""
    assert kept(other, author) == []


def test_a_content_that_is_not_the_listed_one_is_refused_and_not_quarantined(
    author: Project, clone: Project, bucket: Bucket
) -> None:
    before = made(clone)
    table = manifest.read(clone.root / "manifest.parquet").set_index("clip")
    entry = arrays.path_of(clone.root / "frames", table.loc["dark/video.mp4", "shard"])
    entry.unlink()
    md5 = md5s(author)["dark/video.mp4"]
    where = {"Bucket": bucket.name, "Key": f"dvc/files/md5/{md5[:2]}/{md5[2:]}"}
    wrong = author.root / "data/dark/broken.mp4"
    bucket.client.put_object(**where, Body=wrong.read_bytes())
    status, printed = clone.attempt(*RUN)
    assert status == 1
    assert "the clip data/dark/video.mp4 could not be read in 3 tries" in printed
    assert (
        f"from DVC's remote team: its content is md5:{files.md5(wrong)}, not md5:{md5}" in printed
    )
    assert made(clone) == {name: md5 for name, md5 in before.items() if entry.name not in name}


def test_a_bucket_is_read_as_it_was_imported(bucket: Bucket, tmp_path: Path) -> None:
    prepare(tmp_path)
    names = ["dark/1.png", "light/1.png"]
    for name in names:
        bucket.client.put_object(Bucket=bucket.name, Key=f"clips/{name}", Body=name.encode())
    variables = inherited() | bucket.environment | {"PYTHONPATH": str(ROOT)}
    source = f"s3://{bucket.name}/clips"
    run(tmp_path, "dvc", "import-url", "--no-download", source, "data", variables=variables)
    program = """
from pathlib import Path
from stemtune.core import errors
from stemtune.ingest import clips, remote

def main():
    for clip in clips.find_clips(Path("data"), listed=remote.contents(Path("data"))):
        with remote.fetched(clip) as (_, sha256):
            print(clip.name, sha256)

errors.run("stage", main)
"""
    command = ("python", "-c", program)
    expected = [f"{name} {hashlib.sha256(name.encode()).hexdigest()}" for name in names]
    assert run(tmp_path, *command, variables=variables).splitlines() == expected
    away = {"Bucket": bucket.name, "Key": f"clips/{names[0]}"}
    bucket.client.delete_object(**away)
    status, printed = attempt(tmp_path, command, variables)
    assert status == 1
    assert f"stage: {source} changed since data.dvc was written; `dvc update" in printed
    # DVC would keep the listing of the bucket that differed.
    bucket.client.put_object(**away, Body=names[0].encode())
    assert run(tmp_path, *command, variables=variables).splitlines() == expected
    (tmp_path / "data/dark").mkdir(parents=True)
    status, printed = attempt(tmp_path, command, variables)
    assert (status, "clips in data/ would be ignored: move data/ away" in printed) == (1, True)


def test_a_server_that_is_away_is_said_and_nothing_is_quarantined(
    server: ExitStack, clone: Project
) -> None:
    before = made(clone)
    shutil.rmtree(clone.root / "frames")
    clone.environment = clone.environment | {"AWS_MAX_ATTEMPTS": "1"}
    server.close()
    status, printed = clone.attempt(*RUN)
    assert status == 1
    assert "could not be read in 3 tries (from DVC's remote team: EndpointConnection" in printed
    assert "Traceback" not in printed
    assert files.md5(clone.root / "manifest.parquet") == before["manifest"]
    assert list(clone.root.glob("frames/*/*")) == []
