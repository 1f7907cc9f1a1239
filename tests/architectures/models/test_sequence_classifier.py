"""The classifier: the loss does not depend on batching, metrics count every row, only what is trained is
kept, and it learns.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn import metrics
from torch.nn import functional

from architectures.models import exported, lora
from architectures.models.sequence_classifier import SequenceClassifier
from architectures.training import checkpoints
from architectures.training.checkpoint_io import AtomicCheckpointIO
from data.tokens.batches import EvaluationBatches, TrainingBatches
from data.tokens.batching import Batching
from data.tokens.labelled import LabelledRows
from data.tokens.rows import Rows

OPTIMIZATION = {
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "beta2": 0.99,
    "warmup_ratio": 0.1,
    "total_steps": 30,
    "log_every": 1,
    "schedule": "linear",
    "plateau_factor": 0.5,
    "plateau_patience": 0,
    "monitor": "loss",
}


def module_of(model: dict[str, Any], **optimization: Any) -> SequenceClassifier:
    torch.manual_seed(3)
    module = SequenceClassifier(model, OPTIMIZATION | optimization, {"name": "test"})
    module.configure_model()
    return module


def rows(count: int = 48, labels: int = 3, multi_label: bool = False) -> LabelledRows:
    """Texts whose tokens tell their label."""
    draw = torch.Generator().manual_seed(0)
    targets = torch.randint(labels, (count,), generator=draw)
    ids = [
        torch.randint(6, 60, (5 + 3 * (i % 5),), generator=draw).tolist() + [70 + int(t)] * 3
        for i, t in enumerate(targets)
    ]
    if multi_label:
        given = functional.one_hot(targets, labels).float()
        given[::7] = 0
        return LabelledRows(*Rows.flatten(ids), given, 0)
    return LabelledRows(*Rows.flatten(ids), targets, 0)


def trained(
    model: dict[str, Any],
    folder: Path,
    data: LabelledRows,
    micro: int = 8,
    epochs: int = 3,
    callbacks: Any = None,
    **optimization: Any,
) -> Any:
    module = module_of(model, **optimization)
    trainer = Trainer(
        accelerator="cpu",
        plugins=[AtomicCheckpointIO()],
        max_epochs=1,
        val_check_interval=6 * -(-8 // micro),
        check_val_every_n_epoch=None,
        accumulate_grad_batches=-(-8 // micro),
        gradient_clip_val=1.0,
        default_root_dir=folder,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=bool(callbacks),
        callbacks=callbacks,
    )
    trainer.fit(
        module, TrainingBatches(data, Batching(8, -(-8 // micro), epochs), 0, 4), EvaluationBatches(data, 20)
    )
    return module, trainer


@pytest.mark.parametrize("multi_label", [False, True])
def test_micro_batches_change_nothing(settings: Any, tmp_path: Path, multi_label: bool) -> None:
    model, data = settings(multi_label=multi_label), rows(multi_label=multi_label)
    whole, parts = (trained(model, tmp_path, data, micro)[0] for micro in (8, 3))
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "llama"])
@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_padding_changes_nothing(settings: Any, kind: str, adapter: str) -> None:
    """Each row alone gives what it gives in a batch of longer ones; a decoder reads its last real token."""
    module = module_of(settings(kind, adapter=adapter)).eval()
    data = rows(6)
    together = module.predict_proba(data.batch(list(range(6))))
    alone = torch.cat([module.predict_proba(data.batch([i])) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "llama"])
def test_lora_trains_the_adapter_and_the_head_alone(settings: Any, kind: str) -> None:
    names = [name for name, p in module_of(settings(kind)).named_parameters() if p.requires_grad]
    heads = [name for name in names if "lora_" not in name]
    assert any("lora_" in name for name in names)
    assert heads
    assert all(any(part in name for part in ("classifier", "score", "pooler")) for name in heads)
    assert not any("lora_" in name and ("classifier" in name or "score" in name) for name in names)


@pytest.mark.parametrize(
    ("pooling", "adapter"), [("native", "lora"), ("native", "none"), ("mean", "lora"), ("mean", "none")]
)
def test_it_learns_and_comes_back_the_same(settings: Any, tmp_path: Path, pooling: str, adapter: str) -> None:
    data = rows()
    best = ModelCheckpoint(tmp_path, "best", monitor="validation/loss")
    module, trainer = trained(
        settings(pooling=pooling, adapter=adapter),
        tmp_path,
        data,
        epochs=8,
        callbacks=[best],
        learning_rate=5e-2 if adapter == "lora" else 1e-2,
    )
    assert trainer.callback_metrics["validation/accuracy"] > 0.6  # chance: 0.33
    expected = module.eval().predict_proba(data.batch(list(range(20))))
    exported.export(module, tmp_path / "model")
    for path in (tmp_path / "best.ckpt", tmp_path / "model"):
        again = checkpoints.load_model(path)
        assert isinstance(again, SequenceClassifier)
        assert again.head.labels == ["a", "b", "c"]
        if path.is_dir():
            torch.testing.assert_close(again.predict_proba(data.batch(list(range(20)))), expected)
    names = set(torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"])
    assert names == {name for name, p in module.named_parameters() if p.requires_grad}


def test_plain_transformers_reads_the_export(settings: Any, tmp_path: Path) -> None:
    """Adapter, head and label names work without this project."""
    from peft import AutoPeftModelForSequenceClassification

    module = module_of(settings()).eval()
    exported.export(module, tmp_path)
    plain = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3).eval()
    batch = rows(4).batch([0, 1, 2, 3])
    logits = plain(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(logits.softmax(1), module.predict_proba(batch))


@pytest.mark.parametrize("multi_label", [False, True])
def test_validation_counts_every_row_of_the_epoch(settings: Any, tmp_path: Path, multi_label: bool) -> None:
    """Batches of 20, 20 and 8: the figures are those of all 48 rows, not a mean over batches."""
    data = rows(multi_label=multi_label)
    module, trainer = trained(settings(multi_label=multi_label), tmp_path, data, epochs=2)
    found = {
        name.removeprefix("validation/"): float(v)
        for name, v in trainer.callback_metrics.items()
        if name.startswith("validation/")
    }
    module.eval()
    batch = data.batch(list(range(48)))
    likely = module.predict_proba(batch)
    guess = (likely >= 0.5).long() if multi_label else likely.argmax(1)
    truth = data.targets.long()
    for average in ("macro", "micro", "weighted"):
        p, r, f, _ = metrics.precision_recall_fscore_support(truth, guess, average=average, zero_division=0)
        assert [found[f"{average}_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(
            [p, r, f], abs=1e-6
        )
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    expected = metrics.f1_score(truth, guess, average=None, zero_division=0)
    assert [found[f"f1/{label}"] for label in "abc"] == pytest.approx(list(expected), abs=1e-6)
    logits = module(batch["input_ids"], batch["attention_mask"])
    whole = (
        functional.binary_cross_entropy_with_logits(logits, data.targets)
        if multi_label
        else functional.cross_entropy(logits, truth)
    )
    assert found["loss"] == pytest.approx(float(whole.detach()), rel=1e-4)
    if multi_label:
        wider = [torch.cat([x, (x.sum(1, keepdim=True) == 0).long()], 1) for x in (truth, guess)]
        assert found["macro_f1_with_none"] == pytest.approx(
            metrics.f1_score(*wider, average="macro", zero_division=0), abs=1e-6
        )


def test_of_two_labels_the_last_one_heads_the_log(settings: Any, tmp_path: Path) -> None:
    _, trainer = trained(settings(labels=2), tmp_path, rows(labels=2), epochs=1)
    assert trainer.callback_metrics["validation/f1"] == trainer.callback_metrics["validation/f1/b"]


def test_class_weights_multiply_the_loss_of_their_label(settings: Any) -> None:
    plain, weighted = module_of(settings()), module_of(settings(weights=[1.0, 5.0, 2.0]))
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    each = functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(plain.count(logits, targets).loss, each.sum())
    torch.testing.assert_close(
        weighted.count(logits, targets).loss, (each * torch.tensor([1.0, 5.0, 2.0, 5.0])).sum()
    )


def test_the_probe_equals_scikit_learn(settings: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    module, data = module_of(settings(pooling="mean")), rows()
    module.probe(EvaluationBatches(data, 16))
    encoder = lora.base_model(module.net).base_model.eval()
    from architectures.models.pooling import mean_pool

    batch = data.batch(list(range(48)))
    features = mean_pool(
        encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state,
        batch["attention_mask"],
    )
    features = features / features.norm(dim=1).mean()
    wanted = LogisticRegression(C=10.0, max_iter=5000, tol=1e-8).fit(
        features.detach().numpy(), data.targets.numpy()
    )
    expected = torch.tensor(wanted.predict_proba(features.detach().numpy()), dtype=torch.float32)
    torch.testing.assert_close(module.eval().predict_proba(batch), expected, rtol=0.02, atol=0.005)


def test_a_probe_needs_one_vector_a_text(settings: Any) -> None:
    with pytest.raises(ValueError, match=r"set model\.pooling=mean"):
        module_of(settings("llama")).probe(EvaluationBatches(rows(), 16))


def test_plateau_lowers_the_rate_where_nothing_gets_better(settings: Any, tmp_path: Path) -> None:
    """A rate of almost nothing changes nothing, so every epoch after the first is one without progress."""
    _, trainer = trained(
        settings(), tmp_path, rows(), epochs=4, schedule="plateau", learning_rate=1e-12, monitor="accuracy"
    )
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-12 * 0.5**3)


def test_nf4_leaves_the_head_in_full(settings: Any) -> None:
    for kind in ("bert", "llama"):
        module = module_of(settings(kind, quantization="nf4"))
        small = {n for n, m in module.net.named_modules() if m.__class__.__name__ == "Linear4bit"}
        assert small
        assert not any("classifier" in name or "score" in name for name in small)
        heads = [p for n, p in module.net.named_parameters() if p.requires_grad and "lora_" not in n]
        assert heads
        assert all(p.dtype == torch.float32 for p in heads)
        assert module.predict_proba(rows(4).batch([0, 1, 2, 3])).isfinite().all()


def test_missing_weights_are_told(settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from safetensors.torch import load_file, save_file

    model = settings()
    source = Path(model["base"])
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    gone = next(name for name in weights if "layer.1.attention.self.query.weight" in name)
    save_file(
        {k: v for k, v in weights.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with caplog.at_level("WARNING"):
        module_of(model | {"base": str(tmp_path)})
    assert "lacks weights, which start at random" in caplog.text
    caplog.clear()
    module_of(model)
    assert "lacks weights" not in caplog.text


@pytest.mark.parametrize("multi_label", [False, True])
def test_thresholds_are_chosen_where_f1_is_and_come_back(
    settings: Any, tmp_path: Path, multi_label: bool
) -> None:
    monitor = "macro_f1" if multi_label else "f1"
    data = rows(200, 2, multi_label)
    module, _ = trained(settings(labels=2, multi_label=multi_label), tmp_path, data, monitor=monitor)
    module.eval()
    with torch.no_grad():
        for layer in module.net.modules():  # makes the last label too improbable
            if isinstance(layer, torch.nn.Linear) and layer.out_features == 2:
                layer.bias[-1] -= 4
    module.calibrate(EvaluationBatches(data, 20))
    assert module.head.thresholds is not None
    assert module.head.thresholds[-1] < 0.5
    exported.export(module, tmp_path / "model")
    again = checkpoints.load_model(tmp_path / "model")
    assert again.head.thresholds == module.head.thresholds
    logits = torch.tensor([[1.0, 0.5]]) * again.head.temperature
    lower = again.probabilities(logits)[0, -1] >= again.head.thresholds[-1]
    assert bool(lower) == bool(again.decide(logits).flatten()[-1])
