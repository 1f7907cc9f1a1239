"""A table in parts: the same result however it is cut, whoever works on it, and after a stop; in parts of
300 rows.
"""

import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.catalogue import partitions as parts_module
from data.catalogue.cleaning import CatalogueFilter
from data.catalogue.partitions import Partitions, parse_shard, partition_file
from data.modules import preparation
from tests.catalogues import questions_of
from tests.conftest import ROOT, typed

TABLE = ROOT / "data/sample/catalogue.csv"
HEIGHT = 300
Frames = dict[str, pl.DataFrame]


def settings() -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(typed("+experiment=quickstart", "data.wording=published").data)


def prepared(folder: Path, **how: Any) -> Frames:
    """The whole preparation in parts -> its tables."""
    out = folder / "out"
    out.mkdir(parents=True)
    preparation.prepare(
        TABLE, Partitions(folder / "parts", **{"height": HEIGHT, **how}), settings(), 1, None, "", out
    )
    return {
        name: pl.read_parquet(out / f"{name}.parquet")
        for name in ("catalogue", "products", "questions", "quarantine")
    }


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    return prepared(tmp_path_factory.mktemp("here"))


def equal(one: Frames, other: Frames) -> bool:
    return all(one[name].equals(other[name]) for name in one)


def test_parts_give_what_the_whole_gives(tmp_path: Path, here: Frames) -> None:
    """Counts, suggestions and splits are of the whole table; only the order of questions goes by parts."""
    whole = prepared(tmp_path, height=10**6)
    assert pl.read_csv(TABLE).height > 2 * HEIGHT
    assert whole["catalogue"].equals(here["catalogue"])
    assert whole["products"].equals(here["products"])
    keys = ["product_id", "question", "kind"]
    assert whole["questions"].sort(keys).equals(here["questions"].sort(keys))


def test_questions_of_a_catalogue_in_odd_parts(here: Frames) -> None:
    whole, cut = (questions_of(here["catalogue"].head(150), cut=cut)[1] for cut in (10**9, 11))
    assert whole.sort(whole.columns[:4]).equals(cut.sort(cut.columns[:4]))


def test_a_stopped_preparation_goes_on(tmp_path: Path, here: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at the seventh part of all steps; what was done is not done again."""
    done: list[tuple[str, int]] = []
    real = parts_module.run_partition

    def once(item: dict[str, Any], **how: Any) -> dict[str, Any]:
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append((how["step"], item["part"]))
        return real(item, **how)

    monkeypatch.setattr(parts_module, "run_partition", once)
    with pytest.raises(KeyboardInterrupt):
        prepared(tmp_path)
    before = set(done)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "parts/catalogue/00003.parquet.host-1").write_bytes(b"half")
    done[:] = [("", -1)] * 8  # go on to the end
    assert equal(prepared(tmp_path), here)
    assert not before & set(done[8:])


def test_a_wrong_column_is_told_before_the_table_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pl.LazyFrame, "collect_batches", lambda *rest, **more: pytest.fail("the table is read")
    )
    with pytest.raises(ValueError, match="has no column 'titel'"):
        preparation.clean_catalogue(
            TABLE,
            {"name": "titel", "category": "product_category_tree"},
            [],
            CatalogueFilter("", (), 0, False),
            Partitions(tmp_path),
        )


def share(folder: Path, shard: tuple[int, int]) -> None:
    prepared(folder / str(shard[0]), shard=shard)


@pytest.mark.slow
def test_shards_share_the_work_and_none_waits(tmp_path: Path, here: Frames) -> None:
    """Three processes at once, in one folder; then what one alone would have made of it."""
    for shard in (1, 2, 3):
        (tmp_path / str(shard)).mkdir()
        (tmp_path / str(shard) / "parts").symlink_to(tmp_path / "parts")
    (tmp_path / "parts").mkdir()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=share, args=(tmp_path, (shard, 3))) for shard in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    for shard in (1, 2, 3):
        assert pl.read_parquet(tmp_path / str(shard) / "out/questions.parquet").equals(here["questions"])


def test_a_shard_begins_with_its_own_share(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    work = Partitions(folder, shard=parse_shard("2/3"))
    work.count = 6
    for part in range(6):
        partition_file(folder, "a", part).parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"x": [part]}).write_parquet(partition_file(folder, "a", part))
    order: list[int] = []

    def note(frame: pl.DataFrame, part: int) -> Frames:
        order.append(part)
        return {"b": frame}

    work.each("noted", ["a"], note)
    assert order == [1, 4, 2, 5, 0, 3]
    work.each("noted", ["a"], note)
    assert len(order) == 6


@pytest.mark.slow
def test_ray_gives_the_same_row_for_row(tmp_path: Path, here: Frames) -> None:
    ray = pytest.importorskip("ray")
    try:
        assert equal(prepared(tmp_path, engine="ray"), here)
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_a_ray_cluster_that_does_not_answer_is_one_error(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=r"data.ray_address=127.0.0.1:1: no Ray cluster answers"):
        prepared(tmp_path, engine="ray", address="127.0.0.1:1")


def test_a_part_of_which_nothing_stays_is_no_trouble(
    tmp_path: Path, here: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table in order of its categories: the filter takes whole parts, at the start, in between and at
    the end.
    """
    table = pl.read_csv(TABLE, infer_schema=False)
    other = table.head(1).with_columns(product_category_tree=pl.lit('["Toys >> Balls"]'))
    strange = [
        pl.concat([other.with_columns(uniq_id=pl.lit(f"t{start}-{i}")) for i in range(2 * HEIGHT)])
        for start in range(3)
    ]
    path = tmp_path / "sorted.csv"
    pl.concat([strange[0], table.head(500), strange[1], table.tail(-500), strange[2]]).write_csv(path)
    monkeypatch.setattr("tests.data.catalogue.test_partitions.TABLE", path)
    found = prepared(tmp_path / "work")
    assert found["catalogue"].equals(here["catalogue"])
    keys = ["product_id", "question", "kind"]
    assert found["questions"].sort(keys).equals(here["questions"].sort(keys))
