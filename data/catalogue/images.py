"""Pictures of products, from the addresses in the catalogue to files and a manifest: many at once, checked,
resumed, nothing lost unseen.

An address may only lead to where the public may look: http and https, no private or loopback host (also
behind a redirect), unless that is asked for. What comes must be a picture of bounded size that can be
decoded. Every outcome is written down as it comes.
"""

import asyncio
import hashlib
import ipaddress
import json
import logging
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import polars as pl

from data.catalogue.partitions import parse_shard
from data.markdown import markdown_table
from data.values import JsonObject, Settings

log = logging.getLogger(__name__)

Client = Any  # of the package httpx, which is imported where it is used
REDIRECTS = 5

MAX_WAIT = 30.0  # seconds that a server may ask to wait before the next try

MAX_PIXELS = 50_000_000  # that a picture may have, whatever its file's size

TRANSIENT = ("timed out", "connection failed", "HTTP 429", "HTTP 5")  # outcomes that another run tries again

MANIFEST_FILE = "manifest.parquet"
MANIFEST = {"id": pl.String, "place": pl.Int64, "url": pl.String, "status": pl.String, "file": pl.String}
MANIFEST |= {"bytes": pl.Int64}
MANIFEST |= {"width": pl.Int64, "height": pl.Int64, "format": pl.String, "sha256": pl.String}


@dataclass(frozen=True)
class FetchSettings:
    """How to fetch: the fields of the configuration ``data.images``."""

    per_product: int
    target: str
    concurrency: int
    per_host: int
    retries: int
    timeout: float
    largest: int
    private: bool


class ImageRejected(Exception):
    """Why an address gives no picture."""


def image_rows(catalogue: pl.DataFrame, per_product: int) -> pl.DataFrame:
    """Products with their list ``images`` -> id, place, url: of each product the first so many addresses,
    each once.
    """
    rows = (
        catalogue.select("id", url=pl.col("images").list.unique(maintain_order=True).list.head(per_product))
        .explode("url")
        .drop_nulls("url")
    )
    return rows.with_columns(place=pl.int_range(pl.len()).over("id").cast(pl.Int64)).select(
        "id", "place", "url"
    )


async def _check_host(url: str, private: bool) -> None:
    """Raises Refused unless the address may be asked."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ImageRejected("not an http or https address")
    if private:
        return
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 80, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        raise ImageRejected("connection failed: no such host") from None
    if not all(ipaddress.ip_address(address[4][0]).is_global for address in found):
        raise ImageRejected("a private address")


async def download(client: Client, url: str, how: FetchSettings) -> bytes:
    """The file behind an address, through redirects that are checked one by one. Raises Refused."""
    import httpx

    for _ in range(REDIRECTS + 1):
        try:
            await _check_host(url, how.private)
            async with client.stream("GET", url) as answer:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers.get("location", ""))
                    continue
                if answer.status_code != 200:
                    raise ImageRejected(
                        f"HTTP {answer.status_code} {answer.headers.get('retry-after', '')}".strip()
                    )
                kind = answer.headers.get("content-type", "").split(";")[0].strip().lower()
                if kind and not kind.startswith("image/") and kind != "application/octet-stream":
                    raise ImageRejected(f"not a picture but {kind[:60]}")
                if int(answer.headers.get("content-length") or 0) > how.largest:
                    raise ImageRejected("too large")
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > how.largest:
                        raise ImageRejected("too large")
                return bytes(content)
        except httpx.TimeoutException:
            raise ImageRejected("timed out") from None
        except (httpx.InvalidURL, ValueError) as error:
            raise ImageRejected(f"not an address that can be asked ({str(error)[:80]})") from None
        except httpx.HTTPError as error:
            raise ImageRejected(f"connection failed: {type(error).__name__}") from None
    raise ImageRejected("too many redirects")


def decode_image(content: bytes) -> tuple[int, int, str]:
    """(width, height, format) of a picture that is whole. Raises Refused."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content)) as picture:
            width, height, kind = *picture.size, str(picture.format)
            if width * height > MAX_PIXELS:
                raise ImageRejected("too many pixels")
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageRejected(f"cannot be decoded ({type(error).__name__})") from None
    return width, height, kind


def write_file(target: str, name: str, content: bytes) -> None:
    """A file in a folder of this machine, or wherever fsspec writes to; whole or not at all."""
    import fsspec

    system, root = fsspec.core.url_to_fs(target)
    path = f"{root.rstrip('/')}/{name}"
    part = f"{path}.{uuid.uuid4().hex}.partial"  # the same picture may be written twice at once
    system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    system.pipe_file(part, content)
    system.mv(part, path)


async def fetch(client: Client, row: JsonObject, how: FetchSettings) -> JsonObject:
    """One picture: fetched, decoded, written; with further tries where that may help."""
    outcome = dict.fromkeys(MANIFEST) | row
    for attempt in range(how.retries + 1):
        try:
            content = await download(client, row["url"], how)
            width, height, kind = await asyncio.to_thread(decode_image, content)
            digest = hashlib.sha256(content).hexdigest()
            name = f"{digest[:2]}/{digest}.{kind.lower()}"
            await asyncio.to_thread(write_file, how.target, name, content)
            size = {"width": width, "height": height, "format": kind, "bytes": len(content)}
            return outcome | size | {"status": "ok", "file": name, "sha256": digest}
        except ImageRejected as reason:
            outcome["status"] = str(reason)
            if attempt == how.retries or not str(reason).startswith(TRANSIENT):
                break
            asked = str(reason).rsplit(" ", 1)[-1] if str(reason).startswith("HTTP 429 ") else ""
            await asyncio.sleep(min(MAX_WAIT, float(asked)) if asked.isdecimal() else 0.25 * 2**attempt)
    return outcome


def _host_of(url: str) -> str:
    """Whose server it is; '' of what is no address."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


async def _fetch_all(
    rows: list[JsonObject], how: FetchSettings, record: Callable[[JsonObject], None]
) -> None:
    """All of them, ``concurrency`` at once, of one host ``per_host`` at most."""
    import httpx

    hosts: dict[str, asyncio.Semaphore] = {}
    waiting = iter(rows)
    limits = httpx.Limits(max_connections=how.concurrency, max_keepalive_connections=how.concurrency)

    async def worker(client: Client) -> None:
        for row in waiting:
            place = hosts.setdefault(_host_of(row["url"]), asyncio.Semaphore(how.per_host))
            async with place:
                record(await fetch(client, row, how))

    async with httpx.AsyncClient(timeout=how.timeout, limits=limits, trust_env=False) as client:
        await asyncio.gather(*(worker(client) for _ in range(how.concurrency)))


def fetch_images(rows: pl.DataFrame, how: FetchSettings, folder: Path) -> pl.DataFrame:
    """Fetch what is not there yet; the manifest, a row for each address, also as ``folder/manifest.parquet``.

    Outcomes are appended to ``folder/outcomes.jsonl`` as they come, so that a stopped run continues; failures
    that may pass are tried again. Raises ValueError if nothing can be written to the target.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_file(how.target, "written.txt", b"pictures of products\n")
    except (OSError, ValueError, ImportError) as error:
        reason = str(error)[:200]
        raise ValueError(f"data.images.target={how.target}: cannot be written to ({reason})") from None
    path = folder / "outcomes.jsonl"
    _end_last_line(path)
    known = _read_outcomes(path)
    done = [key for key, outcome in known.items() if not str(outcome["status"]).startswith(TRANSIENT)]
    keys = pl.DataFrame(done, schema={"id": pl.String, "place": pl.Int64, "url": pl.String}, orient="row")
    missing = rows.join(keys, on=["id", "place", "url"], how="anti", maintain_order="left")
    log.info("%d addresses, %d of them known from before", rows.height, rows.height - missing.height)
    try:
        _fetch_missing(missing, how, path, rows.height)
    finally:
        outcomes = pl.DataFrame(list(_read_outcomes(path).values()), schema=MANIFEST)
        manifest = rows.join(outcomes, on=["id", "place", "url"], how="left", maintain_order="left")
        manifest = manifest.with_columns(target=pl.lit(how.target))
        manifest.write_parquet(folder / MANIFEST_FILE)
    return manifest


def _fetch_missing(missing: pl.DataFrame, how: FetchSettings, path: Path, total: int) -> None:
    """Fetch addresses and append their outcomes to a file. total: addresses, with those of earlier runs."""
    from tqdm import tqdm

    begun, fetched = time.monotonic(), 0
    progress = tqdm(total=total, initial=total - missing.height, desc="images", unit="image")
    with path.open("a", encoding="utf-8") as file, progress:

        def record(outcome: JsonObject) -> None:
            nonlocal fetched
            fetched += outcome["status"] == "ok"
            file.write(json.dumps(outcome) + "\n")
            file.flush()
            progress.update()

        asyncio.run(_fetch_all(missing.to_dicts(), how, record))
    seconds = time.monotonic() - begun
    speed = missing.height / max(seconds, 1e-3)
    log.info("%d pictures fetched in %.0f s, %.0f addresses a second", fetched, seconds, speed)


def _end_last_line(path: Path) -> None:
    """End a line that a stopped run left half written."""
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def fetch_catalogue_images(version: Path, settings: Settings, folder: Path) -> str:
    """Fetch the pictures of a catalogue; the outcomes, and where pictures and manifest are, as text.

    Args:
        version: the folder of the prepared data. settings: fields of the configuration group `data`, of
            which ``shard`` (3/8: the third of eight shares; '': all) chooses products.
    """
    target = settings["images"]["target"] or str(folder / "files")
    how = FetchSettings(**{**settings["images"], "target": target})
    products = pl.read_parquet(version / "catalogue.parquet", columns=["id", "images"])
    place, shards = parse_shard(settings["shard"])
    if shards > 1:
        folder, products = folder / f"shard-{place}-of-{shards}", products.gather_every(shards, place - 1)
    manifest = fetch_images(image_rows(products, how.per_product), how, folder)
    rows = [list(row) for row in count_outcomes(manifest).rows()]
    table = markdown_table(["outcome", "addresses"], rows)
    return f"{table}\npictures: {target}    manifest: {folder / MANIFEST_FILE}"


def _read_outcomes(path: Path) -> dict[tuple[str, int, str], JsonObject]:
    """(id, place, url) -> the last outcome recorded; a line that was cut off is left out."""
    outcomes = {}
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            outcome = dict(json.loads(line))
        except ValueError:
            log.warning("%s: a damaged line is left out", path)
            continue
        outcomes[outcome["id"], outcome["place"], outcome["url"]] = outcome
    return outcomes


def count_outcomes(manifest: pl.DataFrame) -> pl.DataFrame:
    """How often each outcome came: status, count."""
    short = pl.col("status").str.replace(r" \(.*$", "").str.replace(r"^(HTTP \d+).*", "$1")
    return manifest.group_by(status=short).len("count").sort("count", "status", descending=[True, False])
