"""Pictures from a server that is slow, broken, lying and huge: what is sound arrives, everything else is
told with its reason.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from architectures.runtime.startup import StartupTimer
from architectures.training.signals import Signals
from data.catalogue import images
from data.catalogue.images import FetchSettings
from tests.image_shop import JPEG, PNG, Shop, picture, picture_server


@pytest.fixture
def shop() -> Iterator[tuple[str, type[Shop]]]:
    handler = type("Fresh", (Shop,), {"seen": [], "at_once": [0, 0], "lock": threading.Lock()})
    with picture_server(handler) as address:
        yield address, handler


def how(target: Path | str, **changes: Any) -> FetchSettings:
    usual = {
        "per_product": 7,
        "concurrency": 8,
        "per_host": 8,
        "retries": 1,
        "timeout": 0.5,
        "largest": 100_000,
        "private": True,
    }
    return FetchSettings(**{**usual, "target": str(target), **changes})  # type: ignore[arg-type]


def rows(*urls: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [f"p{i}" for i in range(len(urls))], "place": [0] * len(urls), "url": list(urls)}
    )


OUTCOMES = dict.fromkeys(["/ok.png", "/ok.jpeg", "/moved", "/once", "/busy"], "ok")
OUTCOMES |= {
    "/lies": "cannot be decoded",
    "/cut": "cannot be decoded",
    "/page": "not a picture but text/html",
    "/huge": "too large",
}
OUTCOMES |= {"/endless": "too large", "/slow": "timed out", "/down": "HTTP 500", "/none": "HTTP 404"}
OUTCOMES |= {"/astray": "not an http or https address", "/round": "too many redirects"}


def test_what_is_sound_arrives_and_the_rest_is_told(shop: tuple[str, type[Shop]], tmp_path: Path) -> None:
    place, handler = shop
    odd = {
        "file:///etc/passwd": "not an http",
        "http://127.0.0.1:9/x.png": "connection failed",
        "http://[::x": "not an",
        "nonsense": "not an http",
    }
    wanted = {f"{place}{path}": outcome for path, outcome in OUTCOMES.items()} | odd
    manifest = images.fetch_images(rows(*wanted), how(tmp_path / "files"), tmp_path)
    assert manifest["url"].to_list() == list(wanted)
    for url, status in manifest.select("url", "status").rows():
        assert status.startswith(wanted[url]), (url, status)
    good = manifest.filter(pl.col("status") == "ok")
    assert {(row["width"], row["height"]) for row in good.iter_rows(named=True)} == {(8, 6)}
    assert set(good["format"]) == {"PNG", "JPEG"}
    for row in good.iter_rows(named=True):
        assert (tmp_path / "files" / row["file"]).read_bytes() == (JPEG if row["format"] == "JPEG" else PNG)
    assert not list(tmp_path.rglob("*.partial"))
    assert pl.read_parquet(tmp_path / "manifest.parquet").equals(manifest)
    assert dict(images.count_outcomes(manifest).rows())["ok"] == 5
    times = Counter(handler.seen)
    assert (times["/down"], times["/none"], times["/slow"]) == (2, 1, 2)


def test_a_second_run_asks_only_for_what_may_have_passed(
    shop: tuple[str, type[Shop]], tmp_path: Path
) -> None:
    place, handler = shop
    wanted = [f"{place}{path}" for path in OUTCOMES]
    images.fetch_images(rows(*wanted[:4]), how(tmp_path / "files"), tmp_path)
    with (tmp_path / "outcomes.jsonl").open("a") as file:
        file.write('{"id": "p4", "pl')
    handler.seen.clear()
    manifest = images.fetch_images(rows(*wanted), how(tmp_path / "files"), tmp_path)
    assert not {"/ok.png", "/ok.jpeg"} & set(handler.seen)
    assert manifest.height == len(wanted)
    handler.seen.clear()
    images.fetch_images(rows(*wanted), how(tmp_path / "files", retries=0), tmp_path)
    assert set(handler.seen) == {"/slow", "/down"}


def test_a_stopped_run_keeps_what_it_has(
    shop: tuple[str, type[Shop]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = shop
    original, count = images.write_file, [0]

    def failing(target: str, name: str, content: bytes) -> None:
        count[0] += 1
        if count[0] == 20:
            raise KeyboardInterrupt
        original(target, name, content)

    monkeypatch.setattr(images, "write_file", failing)
    wanted = rows(*(f"{place}/ok-{i}.png" for i in range(60)))
    with pytest.raises(KeyboardInterrupt):
        images.fetch_images(wanted, how(tmp_path / "files"), tmp_path)
    manifest = pl.read_parquet(tmp_path / "manifest.parquet")
    kept = manifest.filter(pl.col("status") == "ok").height
    assert 5 <= kept < 60
    assert manifest.height == 60
    again = images.fetch_images(wanted, how(tmp_path / "files"), tmp_path)
    assert (again["status"] == "ok").all()


def test_private_addresses_are_not_asked(shop: tuple[str, type[Shop]], tmp_path: Path) -> None:
    place, handler = shop
    urls = [
        f"{place}/ok.png",
        place.replace("127.0.0.1", "localhost"),
        "http://10.0.0.1/x.png",
        "http://169.254.169.254/latest",
        "http://[::1]/x",
    ]
    urls += ["http://0.0.0.0/x", "http://2130706433/x", "http://no-such-host.invalid/x.png"]
    manifest = images.fetch_images(rows(*urls), how(tmp_path / "files", private=False, retries=0), tmp_path)
    assert manifest["status"].to_list()[:-1] == ["a private address"] * 7
    assert manifest["status"].to_list()[-1].startswith("connection failed")
    assert handler.seen == []


def test_no_host_is_asked_too_often_at_once(shop: tuple[str, type[Shop]], tmp_path: Path) -> None:
    place, handler = shop
    images.fetch_images(
        rows(*(f"{place}/ok-{i}.png" for i in range(80))),
        how(tmp_path / "files", concurrency=16, per_host=3),
        tmp_path,
    )
    assert 2 <= handler.at_once[1] <= 3


def test_any_place_that_fsspec_knows(shop: tuple[str, type[Shop]], tmp_path: Path) -> None:
    import fsspec

    place, _ = shop
    manifest = images.fetch_images(rows(f"{place}/ok.png"), how("memory://pictures"), tmp_path)
    assert fsspec.filesystem("memory").cat(f"/pictures/{manifest['file'][0]}") == PNG
    with pytest.raises(ValueError, match=r"data\.images\.target=nosuch://x"):
        images.fetch_images(rows(f"{place}/ok.png"), how("nosuch://x"), tmp_path)


def test_of_each_product_the_first_addresses_once() -> None:
    catalogue = pl.DataFrame(
        {"id": ["a", "b", "c"], "images": [["u1", "u2", "u1", "u3"], [], None]},
        schema_overrides={"images": pl.List(pl.String)},
    )
    assert images.image_rows(catalogue, 2).rows() == [("a", 0, "u1"), ("a", 1, "u2")]


def test_a_bomb_of_pixels_is_refused() -> None:
    with pytest.raises(images.ImageRejected, match=r"too many pixels|DecompressionBomb"):
        images.decode_image(picture("PNG", (12_000, 9_000)))


def test_the_stage_from_the_command_line(
    shop: tuple[str, type[Shop]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import train
    from tests.conftest import typed

    place, _ = shop
    table = pl.DataFrame(
        {
            "title": [f"Mug {i}" for i in range(30)],
            "department": "Kitchen > Mugs",
            "colour": ["red", "blue"] * 15,
        }
    )
    table = table.with_columns(
        picture=pl.format(
            '["{}/ok-{}.png", "{}/none"]',
            pl.lit(place.replace("127.0.0.1", "127.0.0.1")),
            "title",
            pl.lit(place),
        )
    )
    table.with_columns(pl.col("picture").str.replace_all("Mug ", "m")).write_csv(tmp_path / "shop.csv")
    columns = [
        "data.columns.name=title",
        "data.columns.category=department",
        "data.columns.image=picture",
        "data.attributes=[colour]",
    ]
    given = [
        "data=table",
        f"data.path={tmp_path / 'shop.csv'}",
        *columns,
        "stage=images",
        "data.images.private=true",
        f"outputs={tmp_path}",
    ]
    config = typed(*given)
    train.fetch_images(train.Run(config, train.prepare(config), tmp_path, Signals(), StartupTimer()))
    out = capsys.readouterr().out
    assert "| ok       |        30 |" in out
    assert "| HTTP 404 |        30 |" in out
