"""A real SLURM cluster of two nodes on this machine, from Debian's packages slurm-wlm and munge, for the
tests that need one.

with cluster(folder) as environment:
    subprocess.run(["sinfo"], env=environment)
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmctldPort=26817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
ReturnToService=2
JobRequeue=1
KillWait=30
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[27001-27002] CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""


def missing() -> str:
    """What this machine lacks for a cluster; '' if nothing."""
    lacking = [name for name in NEEDED if not shutil.which(name)]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "only root can start a cluster"


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start it in ``folder``, wait until both nodes are idle, and stop it at the end; the environment to
    call its commands with.
    """
    for name in ("state", "spool.n1", "spool.n2", "munge"):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    folder.chmod(0o755)
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=socket.gethostname(), folder=folder))
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = {
        "key-file": key,
        "pid-file": folder / "munge/pid",
        "log-file": folder / "munge/log",
        "seed-file": folder / "munge/seed",
    }
    options = [f"--{name}={path}" for name, path in files.items()] + [f"--socket={folder}/munge.socket"]
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    started = [subprocess.Popen(["munged", "--force", "--foreground", *options], stderr=subprocess.DEVNULL)]
    try:
        until = time.monotonic() + 60
        while not (folder / "munge.socket").exists() and time.monotonic() < until:
            time.sleep(0.2)
        configuration = str(folder / "slurm.conf")
        started.append(
            subprocess.Popen(
                ["slurmctld", "-D", "-c", "-f", configuration], env=environment, stderr=subprocess.DEVNULL
            )
        )
        for node in ("n1", "n2"):
            command = ["slurmd", "-D", "-N", node, "-f", configuration]
            started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        while "idle 2" not in (states := states_of(environment)):
            assert time.monotonic() < until, (
                f"the cluster did not start: {states!r}\n{(folder / 'slurmctld.log').read_text()[-2000:]}"
            )
            time.sleep(0.5)
        yield environment
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def states_of(environment: dict[str, str]) -> str:
    """States of the nodes, with their numbers."""
    told = subprocess.run(
        ["sinfo", "--noheader", "--format=%T %D"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() + told.stderr.strip()
