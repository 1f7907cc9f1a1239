"""The training step: the loss and its gradients do not depend on how rows are batched; only the adapter
learns.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch.nn import functional

from architectures.compatibility.bitsandbytes import keep_unpacked
from architectures.models import answer_loss, building, loading
from architectures.models.causal_lm import CausalLM
from architectures.models.schedule import learning_rate_factor
from architectures.training import checkpoints
from architectures.training.checkpoint_io import AtomicCheckpointIO
from data.tokens.batches import TrainingBatches
from data.tokens.batching import Batching
from data.tokens.example import Example
from data.tokens.rows import TokenRows

OPTIMIZATION = {
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "beta2": 0.99,
    "warmup_ratio": 0.1,
    "total_steps": 20,
    "log_every": 1,
    "schedule": "cosine",
}
ORIGIN = {"name": "test", "data": {"columns": {"a": "b"}, "list": [1, 2.5, None]}}


def module_of(settings: dict[str, Any], seed: int = 3) -> CausalLM:
    torch.manual_seed(seed)
    module = CausalLM(settings, OPTIMIZATION, ORIGIN)
    module.configure_model()
    return module


def rows(count: int = 24) -> TokenRows:
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randint(6, 60, (8 + 3 * (i % 5),), generator=generator).tolist() for i in range(count)]
    draw = [
        ids[:5] + [70 + i % 3] * (len(ids) - 5) for i, ids in enumerate(draw)
    ]  # something that can be learnt
    return TokenRows.of([Example.turn(ids, 3 + i % 4) for i, ids in enumerate(draw)], 64)


def trained(
    settings: dict[str, Any], folder: Path, micro: int = 8, epochs: int = 2, **options: Any
) -> tuple[CausalLM, Trainer]:
    module = module_of(settings)
    batches = TrainingBatches(rows(), Batching(8, -(-8 // micro), epochs), seed=0)
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "logger": False,
    }
    trainer = Trainer(
        accelerator="cpu", plugins=[AtomicCheckpointIO()], max_epochs=1,
        accumulate_grad_batches=-(-8 // micro), gradient_clip_val=1.0, default_root_dir=folder,
        use_distributed_sampler=False, **{"enable_checkpointing": False} | quiet | options,
    )  # fmt: skip
    trainer.fit(module, batches)
    return module, trainer


def state(module: CausalLM) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def plain(settings: dict[str, Any]) -> Any:
    """The same net as `module_of` has, as PEFT and transformers' eager attention compute it."""
    torch.manual_seed(3)
    net = building.build_net(**settings | {"attention": "eager"}).train()
    for module in net.modules():
        module.__dict__.pop("forward", None)
    return net


def stirred(net: Any) -> None:
    """Adapters that do something: B starts at zero."""
    draw = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)


KINDS = ["gemma2", "gemma2 window", "llama", "mistral window", "qwen3", "gemma3_text"]


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_one_row_after_another_through_transformers(
    model_settings: Any, tmp_path: Path, kind: str, adapter: str
) -> None:
    """Documents on end, the head over answers alone, LoRA and norms with their own gradients: all of it
    equals the plain model.
    """
    settings = model_settings(kind.split()[0], adapter=adapter)
    if "window" in kind:
        config = json.loads((Path(settings["base"]) / "config.json").read_text()) | {"sliding_window": 7}
        shutil.copytree(settings["base"], tmp_path / "base")
        (tmp_path / "base" / "config.json").write_text(json.dumps(config))
        settings["base"] = str(tmp_path / "base")
    net, table = plain(settings), rows(8)
    module = module_of(settings)
    stirred(net)
    stirred(module.net)
    losses, right = [], 0
    for row in range(8):
        ids = table.ids[table.starts[row] : table.starts[row + 1]].long()[None]
        answer = int(table.lengths[row] - table.sizes[row])
        logits = net(input_ids=ids, use_cache=False).logits[0, answer - 1 : -1].float()
        losses.append(functional.cross_entropy(logits, ids[0, answer:], reduction="sum"))
        right += int((logits.argmax(-1) == ids[0, answer:]).sum())
    torch.stack(losses).sum().backward()
    for parts in ([[0, 1, 2, 3, 4, 5, 6, 7]], [[5, 0], [7, 1, 2], [6, 3, 4]]):
        module.zero_grad()
        counts = [module.count(table.batch(part)) for part in parts]
        total = torch.stack([c.loss for c in counts]).sum()
        total.backward()
        torch.testing.assert_close(total, torch.stack(losses).sum(), rtol=1e-5, atol=1e-4)
        assert sum(int(c.right) for c in counts) == right
        assert sum(int(c.size) for c in counts) == int(table.sizes.sum())
        found = {name: p.grad for name, p in module.net.named_parameters() if p.grad is not None}
        wanted = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        assert set(found) == set(wanted)
        for name, gradient in found.items():
            torch.testing.assert_close(
                gradient,
                wanted[name],
                rtol=1e-3,
                atol=2e-5 * float(wanted[name].abs().max()) + 1e-6,
                msg=name,
            )


def test_chunks_of_the_head_change_nothing(model_settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> tuple[float, torch.Tensor]:
        module = module_of(model_settings())
        counts = module.count(rows().batch(list(range(6))))
        counts.loss.backward()
        return float(counts.loss.detach()), torch.cat(
            [p.grad.flatten() for p in module.parameters() if p.grad is not None]
        )

    whole = run()
    monkeypatch.setattr(answer_loss, "LOGITS_AT_ONCE", {"cpu": 1})
    monkeypatch.setattr(answer_loss, "MIN_LOGIT_ROWS", 7)
    parts = run()
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    torch.testing.assert_close(parts[1], whole[1], rtol=1e-4, atol=1e-6)


def test_accumulation_gives_the_same_model(model_settings: Any, tmp_path: Path) -> None:
    whole = state(trained(model_settings(), tmp_path, micro=8)[0])
    for micro in (1, 3):
        parts = state(trained(model_settings(), tmp_path, micro=micro)[0])
        for name, tensor in whole.items():
            torch.testing.assert_close(parts[name], tensor, rtol=1e-3, atol=2e-5)


def test_the_adapter_changes_and_the_base_does_not(model_settings: Any, tmp_path: Path) -> None:
    before = state(module_of(model_settings()))
    module, _ = trained(model_settings(), tmp_path, epochs=10)
    after = state(module)
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) != ("lora_" in name), name
    now = module.count(rows().batch(list(range(24))))
    assert int(now.right) > 0.8 * int(now.size)


@pytest.mark.parametrize(
    "changes",
    [{"quantization": "nf4"}, {"gradient_checkpointing": True}, {"dtype": "bfloat16"}, {"adapter": "none"}],
)
def test_other_ways_to_train_learn_too(model_settings: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = model_settings("llama", **changes)
    module, _ = trained(settings, tmp_path, epochs=8)
    now = module.count(rows().batch(list(range(24))))
    assert int(now.right) > 0.8 * int(now.size)


@pytest.mark.parametrize("width", [32, 128])
def test_4_bit_layers_pass_gradients_after_a_validation(width: int) -> None:
    from bitsandbytes.nn import Linear4bit

    net = torch.nn.Sequential(Linear4bit(width, 64, bias=False, quant_type="nf4"))
    keep_unpacked(net.to("cpu"))
    x = torch.randn(3, width, generator=torch.Generator().manual_seed(0))

    def gradient() -> torch.Tensor | None:
        leaf = x.clone().requires_grad_()
        net.train()(leaf).sum().backward()
        return leaf.grad

    before = gradient()
    with torch.no_grad():
        net.eval()(x)
    assert before is not None and before.abs().sum() > 0
    assert torch.equal(before, gradient())


def test_gradient_checkpointing_changes_nothing(model_settings: Any, tmp_path: Path) -> None:
    plain, spare = (trained(model_settings(gradient_checkpointing=on), tmp_path)[0] for on in (False, True))
    for name, tensor in state(plain).items():
        torch.testing.assert_close(state(spare)[name], tensor, rtol=1e-4, atol=1e-6)


def test_checkpoints_hold_what_is_trained_in_plain_types(model_settings: Any, tmp_path: Path) -> None:
    module, trainer = trained(model_settings(), tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert content["state_dict"]
    assert all("lora_" in name for name in content["state_dict"])
    again = checkpoints.load_model(tmp_path / "a.ckpt")
    assert all(torch.equal(tensor, state(module)[name]) for name, tensor in state(again).items())
    assert again.origin == ORIGIN


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(model_settings: Any, tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "a.ckpt"
    trained(model_settings(), tmp_path)[1].save_checkpoint(path)
    path.write_bytes(path.read_bytes()[:3000] if damage is None else damage)
    with pytest.raises(ValueError, match="not a checkpoint of this project, or is damaged"):
        checkpoints.load_model(path)
    with pytest.raises(ValueError, match="neither a checkpoint file nor an exported folder"):
        checkpoints.load_model(tmp_path)


def test_a_checkpoint_of_another_model_is_refused(model_settings: Any, tmp_path: Path) -> None:
    trained(model_settings(lora_targets=["q_proj"]), tmp_path)[1].save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    with pytest.raises(ValueError, match="of another model"):
        checkpoints.load_trained_weights(module_of(model_settings()), content)


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_schedule_rises_then_falls_to_nothing(kind: str) -> None:
    shares = [learning_rate_factor(step, 100, 0.1, kind) for step in range(101)]
    assert shares[:11] == sorted(shares[:11])
    assert shares[10] == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[55] == pytest.approx(0.5)
    assert shares[100] == pytest.approx(0)
    assert learning_rate_factor(0, 1, 0.0, kind) == 1.0


def test_a_constant_schedule_rises_and_stays() -> None:
    shares = [learning_rate_factor(step, 100, 0.1, "constant") for step in range(101)]
    assert shares[0] < shares[9] < 1
    assert set(shares[10:]) == {1.0}


def test_base_dtype_follows_hardware_and_size(model_settings: Any) -> None:
    from transformers import AutoConfig, Gemma2Config

    small = AutoConfig.from_pretrained(model_settings()["base"])
    assert loading.base_dtype(Gemma2Config(), "auto", frozen=True) == torch.bfloat16
    assert loading.base_dtype(Gemma2Config(), "auto", frozen=False) == torch.float32
    assert loading.base_dtype(small, "bfloat16", frozen=True) == torch.bfloat16
    assert loading.base_dtype(small, "auto", frozen=True) == torch.float32
