"""Real servers on 127.0.0.1 for tests: PostgreSQL, S3 (moto's), MLflow's."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

START_SECONDS = 180
BUCKET = "artifacts"
# moto takes whatever it is given.
S3_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
USER, PASSWORD = "admin", "a long password"
# What programs of MLflow's need to find their own, and to report no usage.
MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Workers for judging conversations.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def free_port() -> int:
    """Returns a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgreSQL:
    """A PostgreSQL server with an empty database, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Makes the database; fails the test where there is no PostgreSQL."""
        found = shutil.which("pg_ctl") or next(
            map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), ""
        )
        if not found:
            pytest.fail(
                "this test needs PostgreSQL's server; on Debian: apt-get install postgresql. To "
                'leave such tests out: pytest -m "not postgresql"'
            )
        self._programs = Path(found).resolve().parent
        self._data, self.port = folder / "data", free_port()
        folder.mkdir()
        folder.chmod(0o777)
        for above in folder.parents:
            # PostgreSQL's user has to get through.
            if not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o001)
        self._run("initdb", "--auth=trust", "--username=stemtune", "--no-sync", str(self._data))
        self.start()

    @property
    def uri(self) -> str:
        return f"postgresql://stemtune@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -F"
        log = str(self._data / "log.txt")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        # It refuses to run as root.
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            postgres = pwd.getpwnam("postgres")
            user = {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}
        subprocess.run(
            command,
            check=True,
            cwd=self._data.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **user,
        )


class Server:
    """A server process on a port, with those that it starts."""

    def __init__(
        self, command: list[str], port: int, health: str, folder: Path, env: Mapping[str, str]
    ) -> None:
        self._command, self._env, self._folder = command, dict(env), folder
        self.address = f"http://127.0.0.1:{port}"
        self._health = f"{self.address}{health}"
        self.start()

    def start(self) -> None:
        """Starts it and waits until it answers; fails the test if it does not."""
        self.log = self._folder / f"{Path(self._command[0]).name}.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=os.environ | self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self._health, timeout=5):  # noqa: S310
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail(f"{self._command} does not answer:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Ends it and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self) -> None:
        """Stops it where it stands: it takes connections and answers none."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        whole = psutil.Process(self.process.pid)
        for process in (whole, *whole.children(recursive=True)):
            process.send_signal(number)


def program(name: str) -> str:
    """Returns a program of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def s3(folder: Path) -> Iterator[Server]:
    """Runs an S3 server with an empty bucket."""
    import boto3

    port = free_port()
    command = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with Server(command, port, "/moto-api/", folder, {}) as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.address,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
        )
        client.create_bucket(Bucket=BUCKET)
        yield server


@contextmanager
def mlflow_program(folder: Path, *arguments: str, **env: str) -> Iterator[Server]:
    """Runs a server of MLflow's, such as `mlflow ui`, in a folder."""
    port = free_port()
    command = [program("mlflow"), *arguments, "--host", "127.0.0.1", "--port", str(port)]
    with Server(command, port, "/health", folder, MLFLOW_ENVIRONMENT | env) as server:
        yield server


@contextmanager
def mlflow_ui(project: Path) -> Iterator[Server]:
    """Runs MLflow's UI on the store of a project, as `make ui` does."""
    store = ["--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1"]
    with mlflow_program(project, "ui", *store) as server:
        yield server


@contextmanager
def mlflow_server(
    folder: Path, store: str, artifacts: str, guarded: bool, **env: str
) -> Iterator[Server]:
    """Runs MLflow's server, which keeps the artifacts itself; guarded: by USER and PASSWORD."""
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/users.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        # Else it hashes the password for each request, which takes half a second.
        "auth_cache_ttl_seconds = 600\n"
        "authorization_function = "
        "mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    arguments = ["--backend-store-uri", store, "--artifacts-destination", artifacts]
    arguments += ["--workers", "1", *(["--app-name", "basic-auth"] if guarded else [])]
    env |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
    }
    with mlflow_program(folder, "server", *arguments, **env) as server:
        yield server
