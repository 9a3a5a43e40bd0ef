"""The project's own MLflow store, after the project came to another place.

MLflow notes the place of each artifact as a whole path. After a move, what is logged would go to
the old place, silently, and what was logged before is not found. This is the one module that knows
tables of MLflow's, and it looks first whether they are as it knows them.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from stemtune.core import dvc
from stemtune.tracking import store
from stemtune.tracking.store import ARTIFACTS, DATABASE

# Columns in which MLflow 3 notes places.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
COLUMNS = (
    "SELECT tables.name, columns.name FROM sqlite_master AS tables, "
    "pragma_table_info(tables.name) AS columns"
)


def follow() -> str:
    """Corrects the paths in the project's own store after a move; returns a message.

    What is at the old place alone is left there. No other store is touched, nor one whose tables
    are not as expected.

    Raises:
        sqlite3.Error: The store cannot be written.
    """
    project = dvc.project().absolute()
    database = project / DATABASE
    if not database.exists() or store.database() != database:
        return ""
    with closing(sqlite3.connect(database, timeout=20, isolation_level=None)) as connection:
        known = connection.execute(COLUMNS).fetchall()
        if lacking := [".".join(place) for place in PLACES if place not in known]:
            return (
                f"{DATABASE} lacks {', '.join(lacking)}; if the project was moved, old artifacts "
                "stay there"
            )
        elsewhere = _elsewhere(connection, project)
        if not elsewhere:
            return ""
        connection.execute("BEGIN IMMEDIATE")
        for old, new in elsewhere:
            _rename(connection, old, new)
        connection.execute("COMMIT")
    said = []
    for place in sorted({old.parent.parent for old, _ in elsewhere}):
        kind = "is a copy of" if (place / DATABASE).exists() else "was moved here from"
        said.append(f"The project {kind} {place}: {DATABASE} now names {ARTIFACTS} here")
    return "\n".join(said)


def _elsewhere(connection: sqlite3.Connection, project: Path) -> list[tuple[Path, Path]]:
    """Returns where experiments have their artifacts that came along, and where they are now."""
    rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
    found = []
    for experiment, location in rows.fetchall():
        old, new = Path(str(location)), project / ARTIFACTS / str(experiment)
        before = old.parent.parent
        is_ours = old.is_absolute() and old.parts[-2:] == (ARTIFACTS, str(experiment))
        # Other folders may not be looked into.
        if is_ours and not (before.exists() and before.samefile(project)):
            # Someone else may have made an experiment in this store, whose artifacts are there.
            copied = (before / DATABASE).exists()
            if copied or new.exists() or not old.exists():
                found.append((old, new))
    return found


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
