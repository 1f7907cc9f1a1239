"""Steps over a table that need not fit into memory: pure functions from frames to frames, applied to one part
after the other.

Every part of every step is a Parquet file under the step's name, there as a whole or not at all. So a run
that was stopped goes on, and several processes (shards of an array, workers of a Ray cluster) may share the
work through a folder that all of them see.
"""

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data.catalogue.reading import Choose, write_partitions
from data.catalogue.text_files import TextForm
from data.values import JsonObject, Settings

PARTITION_ROWS = 50_000  # rows of a part

PROGRESS_DELAY = 2  # seconds of a wait

DATA_LAYER = Path(__file__).parents[1]

Step = Callable[
    ..., dict[str, pl.DataFrame]
]  # (frame of a part, further frames of it, number of the part=, ...) -> frames by name


def parse_shard(text: str) -> tuple[int, int]:
    """'3/8' -> (3, 8); '' -> (1, 1)."""
    place, _, of = (text or "1/1").partition("/")
    return int(place), int(of)


def partition_file(folder: Path, name: str, part: int) -> Path:
    """Where a part's frame lies."""
    return folder / name / f"{part:05}.parquet"


def write_atomically(frame: pl.DataFrame, path: Path) -> None:
    """A file that is there as a whole or not at all, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f"{path.name}.{os.uname().nodename}-{os.getpid()}")
    frame.write_parquet(work)
    work.rename(path)


def run_partition(
    item: JsonObject, folder: Path, step: str, sources: list[str], function: Step, given: Settings
) -> JsonObject:
    """One part of a step: read, call, write. The mark that it is done comes last."""
    part = int(item["part"])
    if not partition_file(folder, step, part).exists():
        frames = function(
            *(pl.read_parquet(partition_file(folder, name, part)) for name in sources), part=part, **given
        )
        for name, frame in frames.items():
            write_atomically(frame, partition_file(folder, name, part))
        write_atomically(
            pl.DataFrame({"rows": [frame.height for frame in frames.values()]}),
            partition_file(folder, step, part),
        )
    return {"part": part}


def _check_address(address: str) -> None:
    """Raises ValueError if nobody listens there: Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ValueError(f"data.ray_address={address}: no Ray cluster answers ({error})") from None


class Partitions:
    """A table's parts in a folder.

    Args:
        engine: local, one part after the other; ray, on a Ray cluster at ``address`` ('' for one on this
        machine).
        shard: (3, 8) begins with every eighth part, from the third on. What the other shards leave undone is
        done as well, so none waits.
        height: rows of a part.
    """

    def __init__(
        self,
        folder: Path,
        engine: str = "local",
        address: str = "",
        shard: tuple[int, int] = (1, 1),
        height: int = PARTITION_ROWS,
    ) -> None:
        self.folder, self.engine, self.address, self.shard, self.height = (
            folder.absolute(),
            engine,
            address,
            shard,
            height,
        )

    def cut(self, table: Path, form: TextForm, choose: Choose) -> None:
        """The columns of a table that ``choose`` keeps -> parts ``raw``, and ``unread``. Raises ValueError if
        the table cannot be read, lacks a column, or the cluster cannot be reached.
        """
        if self.engine == "ray":
            self.connect()
        if not (self.folder / "raw").exists():
            work = self.folder / f"raw.{os.uname().nodename}-{os.getpid()}"
            shutil.rmtree(work, ignore_errors=True)
            unread = write_partitions(table, work, self.height, form, choose)
            write_atomically(unread, self.folder / "unread.parquet")
            try:
                work.rename(self.folder / "raw")
            except OSError:  # another process was quicker
                shutil.rmtree(work)
        self.count = len(list((self.folder / "raw").glob("*.parquet")))

    def each(self, step: str, sources: list[str], function: Step, **given: object) -> None:
        """Apply a function to all parts of which the step is not done yet."""
        place, of = self.shard
        left = [part for part in range(self.count) if not partition_file(self.folder, step, part).exists()]
        left.sort(key=lambda part: ((part - (place - 1)) % of, part))
        do = partial(
            run_partition, folder=self.folder, step=step, sources=sources, function=function, given=given
        )
        results = (do({"part": part}) for part in left)
        done = self.on_ray(do, left) if self.engine == "ray" and left else results
        for _ in tqdm(done, desc=step, total=len(left), unit="part", delay=PROGRESS_DELAY):
            pass

    def connect(self) -> None:
        """Reach the cluster, or start one on this machine. Raises ValueError if it cannot be had."""
        try:
            import ray
        except ImportError:
            raise ValueError(
                "data.engine=ray: Ray is not installed; pip install -r requirements/ray.txt"
            ) from None
        if not ray.is_initialized():
            _check_address(self.address)
            try:
                environment = {
                    "py_modules": [str(DATA_LAYER)],
                    "env_vars": {"POLARS_MAX_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"},
                }
                ray.init(
                    self.address or "local",
                    runtime_env=environment,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                )
            except (ConnectionError, ValueError) as error:
                raise ValueError(
                    f"data.ray_address={self.address}: no Ray cluster answers ({str(error)[:200]})"
                ) from None

    def on_ray(self, do: Callable[[JsonObject], JsonObject], parts: list[int]) -> Iterator[JsonObject]:
        """Parts as they get done by the cluster."""
        import ray

        ray.data.DataContext.get_current().enable_progress_bars = False
        items = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
        yield from items.map(do).iter_rows()

    def read(self, name: str) -> Iterator[pl.DataFrame]:
        """The frames of all parts, one after the other."""
        return (pl.read_parquet(partition_file(self.folder, name, part)) for part in range(self.count))

    def scan(self, name: str) -> pl.LazyFrame:
        """The frames of all parts as one, not read yet."""
        return pl.concat(
            [pl.scan_parquet(partition_file(self.folder, name, part)) for part in range(self.count)],
            how="diagonal",
        )
