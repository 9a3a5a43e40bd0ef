"""Where runs are kept, and the project's own store mended where the project came to another place.

MLflow notes the place of each artifact as a whole path. After a move, what is logged would go to
the old place, silently, and what was logged before is not found.

Run: python -m stemtune.tracking.store [PORT] (by `make ui`)
"""

import fcntl
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from stemtune.core import errors, pipeline_run

VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT = "stemtune"
# MLflow's own.
PORT = "5000"
SQLITE, DATABASE, ARTIFACTS = "sqlite:///", "mlflow.db", "mlruns"
# Read by MLflow for a store that it opens itself, which else takes the folder that it is called in.
ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
# Columns in which MLflow notes places, beside an experiment's own.
PLACES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


def main() -> None:
    """Makes the project's own store, or mends it, and says where MLflow's pages show it."""
    prepare()
    mend()
    print(f"The runs will be at {pages(sys.argv[1] if len(sys.argv) > 1 else PORT)}")


def address() -> str:
    """Returns where runs go: `MLFLOW_TRACKING_URI`, if not empty, or mlflow.db in the project."""
    named = os.environ.get(VARIABLE, "").strip() or f"{SQLITE}{DATABASE}"
    if named.startswith(SQLITE):
        # A relative path is the project's, in DVC's copy of it too.
        return f"{SQLITE}{pipeline_run.project() / named.removeprefix(SQLITE)}"
    return named


def prepare() -> None:
    """Has MLflow keep the artifacts of a new store in the project, and makes the project's store.

    Of two processes that make a store's tables at once MLflow lets one fail, and of one that is
    killed the store stays without tables for ever. Hence they are made aside, by one at a time.
    """
    project = pipeline_run.project()
    if project != Path():
        os.environ[ROOT_VARIABLE] = str(project / ARTIFACTS)
    database = _sqlite()
    if not database or database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(database.parent) as is_alone:
        if is_alone and not database.exists():
            from mlflow.tracking import MlflowClient

            # As long as it is not whole; `.gitignore` names it.
            part = database.with_name(f"{database.name}.part")
            part.unlink(missing_ok=True)
            MlflowClient(f"{SQLITE}{quote(str(part))}").search_experiments()
            part.replace(database)


def pages(port: str) -> str:
    """Returns the address of the runs in MLflow's pages on this machine.

    What it shows of an experiment unless told otherwise is for language models, without the runs.
    """
    found = []
    if (database := _sqlite()) and database.exists():
        with closing(sqlite3.connect(database)) as connection:
            named = "SELECT experiment_id FROM experiments WHERE name = ?"
            found = connection.execute(named, (EXPERIMENT,)).fetchall()
    place = f"experiments/{found[0][0]}" if found else "experiments"
    return f"http://127.0.0.1:{port}/#/{place}?workflowType=machine_learning"


def mend() -> None:
    """Has the project's own store name the place where it is now, and says so if it did not.

    Whatever lies only at the old place is left there. No other store is touched.

    Raises:
        sqlite3.Error: The store cannot be written.
    """
    project = pipeline_run.project().absolute()
    database = project / DATABASE
    if not database.exists() or not _names(address(), database):
        return
    with closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as connection:
        elsewhere = _elsewhere(connection, project)
        if not elsewhere:
            return
        connection.execute("BEGIN IMMEDIATE")
        for old, new in elsewhere:
            _rename(connection, old, new)
        connection.execute("COMMIT")
    for place in sorted({old.parent.parent for old, _ in elsewhere}):
        kind = "is a copy of" if (place / DATABASE).exists() else "was moved here from"
        print(f"The project {kind} {place}: {DATABASE} now names {ARTIFACTS} here")


def _sqlite() -> Path | None:
    """Returns the file that runs go to; None where it is a server."""
    named = address()
    path = Path(unquote(named.removeprefix(SQLITE).partition("?")[0]))
    return path if named.startswith(SQLITE) else None


@contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Keeps others waiting; yields whether that can be done on this file system."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        is_alone = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            is_alone = False
        yield is_alone
    finally:
        os.close(descriptor)


def _names(uri: str, database: Path) -> bool:
    """Returns whether an address is that of a database; `mlflow run` quotes its path."""
    path = uri.removeprefix(SQLITE)
    return uri.startswith(SQLITE) and database in {
        Path(path).absolute(),
        Path(unquote(path)).absolute(),
    }


def _elsewhere(connection: sqlite3.Connection, project: Path) -> list[tuple[Path, Path]]:
    """Returns where experiments have their artifacts that came along, and where they are now."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
        return []
    rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
    found = []
    for experiment, location in rows.fetchall():
        old, new = Path(str(location)), project / ARTIFACTS / str(experiment)
        is_ours = old.is_absolute() and old.parts[-2:] == (ARTIFACTS, str(experiment))
        if is_ours and not _is_same(old.parent.parent, project):
            # Someone else may have made an experiment in this store, whose artifacts are there.
            copied = (old.parent.parent / DATABASE).exists()
            if copied or new.exists() or not old.exists():
                found.append((old, new))
    return found


def _is_same(folder: Path, project: Path) -> bool:
    return folder.exists() and folder.samefile(project)


def _rename(connection: sqlite3.Connection, old: Path, new: Path) -> None:
    connection.execute(
        "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?",
        (str(new), str(old)),
    )
    for table, column in PLACES:
        rows = connection.execute(
            f"SELECT rowid, {column} FROM {table} WHERE substr({column}, 1, ?) = ?",  # noqa: S608
            (len(f"{old}/"), f"{old}/"),
        )
        for row, place in rows.fetchall():
            here = new / Path(place).relative_to(old)
            if here.exists() or not Path(place).exists():
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE rowid = ?",  # noqa: S608
                    (str(here), row),
                )


if __name__ == "__main__":
    errors.run("store", main)
