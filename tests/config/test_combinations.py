"""Settings that exclude one another: several processes, several preparers of one table, searches."""

import re

import pytest

from config import command_line, schema
from tests.config.test_schema import composed, wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer=fsdp", "model.quantization=nf4"], "trainer.strategy=ddp .*or model.quantization=none"),
        (
            ["trainer=fsdp", "+experiment=tags", "model=minilm", "data.path=x"],
            "a classifier takes trainer.strategy=ddp",
        ),
        (["trainer.shards=2"], "trainer.shards: is for trainer.strategy=fsdp"),
        (["trainer=fsdp", "trainer.shards=3", "trainer.devices=4"], "4 processes .* are no multiple"),
    ],
)
def test_what_processes_cannot_do_together_is_refused(arguments: list[str], message: str) -> None:
    assert re.search(message, wrong(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.shard=9/8", "stage=prepare"], "data.shard=9/8: must be like 3/8"),
        (["data.shard=three", "stage=prepare"], "data.shard=three: must be like 3/8"),
        (["data.shard=1/8"], "data.shard: is for stage=prepare and stage=images"),
        (
            ["data.shard=1/8", "stage=prepare", "data/questions=endpoint", "data.questions.served_model=x"],
            "cannot be used where a model writes",
        ),
        (["data.engine=spark"], "data.engine=spark"),
        (["data.ray_address=a:1"], "data.ray_address: is for data.engine=ray"),
        (["data.engine=ray", "+experiment=tags", "data.path=x"], "data.engine=ray: is for data.task=retail"),
    ],
)
def test_who_prepares_a_table_is_checked(arguments: list[str], message: str) -> None:
    assert message in wrong(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [["trainer=ddp", "model.quantization=nf4"], ["trainer=fsdp"], ["trainer=fsdp", "trainer.shards=2"]],
)
def test_what_processes_can_do_together_is_not(arguments: list[str]) -> None:
    assert schema.problems_of(composed(*arguments)) == []


@pytest.mark.slow
def test_a_search_of_intervals_is_checked_at_their_ends() -> None:
    search = ["-m", "hydra/sweeper=optuna", "+experiment=quickstart"]
    sweep, jobs = command_line.check(search)
    assert sweep
    assert {job.trainer.learning_rate for job in jobs} == {1e-5, 1e-2}
    assert all(job.trainer.prune for job in jobs)
    assert "trainer.learning_rate=2.0: must be at least 0 and below 1" in wrong(
        *search, "trainer.learning_rate=interval(0.1,2.0)"
    )
    assert "hydra.sweeper.direction=minimize: of f1, maximize" in wrong(
        "-m", "hydra/sweeper=optuna", "+experiment=unfair-tos", "data.path=x", "trainer.monitor=f1"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluation.general=[none.jsonl]"], "evaluation.general: there is no file none.jsonl"),
        (
            ["evaluation.general=[README.md]", "+experiment=tags", "data.path=x"],
            "evaluation.general: is for data.task=retail and data.task=instructions",
        ),
    ],
)
def test_general_text_is_checked_before_any_work(arguments: list[str], message: str) -> None:
    assert message in wrong(*arguments)
