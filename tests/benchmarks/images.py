"""python -m tests.benchmarks.images: 20,000 addresses from a server on this machine, of which some are slow,
broken, huge or gone.

Writes results/images.md: addresses a second, peak memory, and every outcome counted.
"""

import logging
import multiprocessing
import os
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from data.catalogue import images
from data.catalogue.images import FetchSettings
from data.markdown import markdown_table
from tests.data.catalogue.test_images import Server, Shop, picture

COUNT = 20_000
SHARES = {
    "/slow": 40,
    "/down": 40,
    "/huge": 100,
    "/endless": 20,
    "/lies": 100,
    "/cut": 100,
    "/none": 200,
    "/page": 100,
    "/once": 200,
}
RESULTS = Path(__file__).parent / "results" / "images.md"
PHOTO = (640, 480)


class Photos(Shop):
    """As in the tests, with pictures of the size of a shop's."""

    photo = b""

    def answer(self, path: str, first: bool) -> None:
        if path.startswith("/ok"):
            self.reply(200, self.photo, "image/jpeg")
        else:
            super().answer(path, first)


def serve(port: Any) -> None:
    """In a process of its own, so that what is measured is the fetching."""
    Photos.photo = picture("JPEG", PHOTO)
    server = Server(("127.0.0.1", 0), Photos)
    port.put(server.server_port)
    server.serve_forever()


def main() -> None:
    """Measure, write the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    context = multiprocessing.get_context("spawn")
    port = context.Queue()
    server = context.Process(target=serve, args=(port,), daemon=True)
    server.start()
    place = f"http://127.0.0.1:{port.get()}"
    paths = [path for path, count in SHARES.items() for _ in range(count)]
    paths += ["/ok"] * (COUNT - len(paths))
    random.Random(0).shuffle(paths)
    rows = pl.DataFrame({"id": [f"p{i // 7}" for i in range(COUNT)], "place": [i % 7 for i in range(COUNT)],
                         "url": [f"{place}{path}-{i}" for i, path in enumerate(paths)]})  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        how = FetchSettings(7, f"{folder}/files", 32, 32, 1, 1.0, 200_000, True)
        start = time.perf_counter()
        manifest = images.fetch_images(rows, how, Path(folder))
        seconds = time.perf_counter() - start
        again = time.perf_counter()
        images.fetch_images(rows, how, Path(folder))
        again = time.perf_counter() - again
    server.terminate()
    assert manifest.height == COUNT
    assert manifest["status"].null_count() == 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = f"    python -m tests.benchmarks.images    # {os.cpu_count()} threads, shared with the server\n\n"
    text += (
        f"{COUNT:,} addresses in {seconds:.0f} s, {COUNT / seconds:,.0f} a second; at most {most:,.0f} MiB. "
    )
    text += f"Again, when only what may have passed is asked: {again:.0f} s.\n\n"
    RESULTS.write_text(
        text
        + markdown_table(
            ["outcome", "addresses"], [list(row) for row in images.count_outcomes(manifest).rows()]
        )
        + "\n",
        encoding="utf-8",
    )
    logging.info(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
