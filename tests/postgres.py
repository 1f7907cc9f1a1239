"""A real PostgreSQL server on this machine, from Debian's package postgresql, for the tests that need one.

with server(folder) as uri:
    sqlalchemy.create_engine(uri)
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """Where initdb and pg_ctl are, if anywhere."""
    return next(
        (path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )


def missing() -> str:
    """What this machine lacks for a server; '' if nothing."""
    return "" if programs() else "PostgreSQL is not installed (Debian: postgresql)"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URI of a new database. PostgreSQL will not run as root, so the server then is the user's of that
    name.
    """
    where = programs()
    assert where
    root = os.geteuid() == 0
    place = Path(f"/tmp/strata-postgres-{os.getpid()}") if root else folder / "postgres"
    place.mkdir()
    who: dict[str, object] = {}
    if root:
        user = pwd.getpwnam("postgres")
        os.chown(place, user.pw_uid, user.pw_gid)
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    port = free_port()

    def call(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(where / program), *arguments], cwd=place, capture_output=True, text=True, check=False, **who
        )  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr

    try:
        call("initdb", "-D", str(place / "data"), "-U", "strata", "--auth=trust")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {place}"
        call("pg_ctl", "-D", str(place / "data"), "-o", options, "-w", "-l", str(place / "log"), "start")
        try:
            call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "strata", "mlflow")
            yield f"postgresql+psycopg2://strata@127.0.0.1:{port}/mlflow"
        finally:
            call("pg_ctl", "-D", str(place / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place)
