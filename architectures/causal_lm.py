"""CausalLM: the training step. Loss over answer tokens alone, AdamW on what is trained, checkpoints that hold only that.

input_ids   <bos> What is  it  ?  It  is  red <eos> <pad>
labels       -     -   -   -   -  It  is  red <eos>  -        (- is IGNORED)
reach the output head:         ^   ^   ^   ^
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torchmetrics import MeanMetric

from architectures import adapters

IGNORED = -100  # label of a token that is not trained
HEAD_ROWS = 1024  # answer tokens whose logits are held at once
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A10G": 70e12, "4090": 165e12}  # dense bf16, vendor


@dataclass(frozen=True)
class Counts:
    """Sums over answer tokens: negative log likelihood (nats), right guesses, tokens. Scalars on the model's device."""

    nll: Tensor
    right: Tensor
    tokens: Tensor


def schedule(step: int, total_steps: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate: a linear rise over the warm-up, then a cosine down to nothing."""
    warmup = math.ceil(total_steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total_steps - warmup))))


def peak_flops() -> float | None:
    """FLOP/s of the device's matrix units in bfloat16, where known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for chip, peak in PEAK_FLOPS.items() if chip in name), None)


class CausalLM(LightningModule):
    """A language model that learns to answer.

    Args:
        model: arguments of `adapters.build`.
        optimization: learning_rate, weight_decay, beta2, warmup_ratio, total_steps, log_every.
        origin: what the run was made of, as plain types, carried in checkpoints for whoever evaluates them.
    """

    def __init__(self, model: dict[str, Any], optimization: dict[str, Any], origin: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model_settings, self.optimization, self.origin = model, optimization, origin
        self.net: Any = None
        self.strict_loading = False  # a checkpoint lacks the frozen base; on_load_checkpoint checks the rest
        self.loss_mean, self.accuracy_mean = MeanMetric(), MeanMetric()
        self.window: list[Counts] = []
        self.seen_tokens, self.since = torch.tensor(0), time.perf_counter()
        self.gradient_norm = torch.tensor(0.0)

    def configure_model(self) -> None:
        """Build the net where the Trainer wants it; called again, it does nothing."""
        if self.net is None:
            self.net = adapters.build(**self.model_settings).train()  # a loaded base is in eval mode, which Lightning would keep
            self.trained, self.parameters_in_all = adapters.count_parameters(self.net)
            self.embedded = self.net.get_input_embeddings().weight.numel()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states. input_ids, attention_mask: (batch, time) -> (batch, time, width)"""
        inner = adapters.base_of(self.net).base_model
        return inner(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state

    def head(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(summed loss, right guesses) of answer tokens. hidden: (tokens, width); labels: (tokens,)"""
        base = adapters.base_of(self.net)
        logits = base.get_output_embeddings()(hidden).float()  # (tokens, vocabulary)
        cap = getattr(base.config.get_text_config(), "final_logit_softcapping", None)
        if cap:
            logits = cap * torch.tanh(logits / cap)
        return functional.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(-1) == labels).sum()

    def count(self, batch: dict[str, Tensor]) -> Counts:
        """Loss and right guesses of a batch; the logits of at most `HEAD_ROWS` tokens exist at any time."""
        hidden = self(batch["input_ids"], batch["attention_mask"])
        kept = batch["labels"][:, 1:] != IGNORED  # (batch, time - 1)
        hidden, labels = hidden[:, :-1][kept], batch["labels"][:, 1:][kept]
        if len(labels) <= HEAD_ROWS:
            nll, right = self.head(hidden, labels)
        else:
            pairs = zip(hidden.split(HEAD_ROWS), labels.split(HEAD_ROWS), strict=True)
            parts = [checkpoint(self.head, h, y, use_reentrant=False) for h, y in pairs]
            nll, right = torch.stack([p[0] for p in parts]).sum(), torch.stack([p[1] for p in parts]).sum()
        return Counts(nll, right, kept.sum())

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss, normalised by the answer tokens of the whole optimiser step, over its micro-batches and processes.

        Lightning divides by the number of micro-batches and averages over processes; both are undone here.
        """
        counts = self.count(batch)
        self.window.append(Counts(counts.nll.detach(), counts.right, counts.tokens))
        self.seen_tokens = self.seen_tokens + batch["attention_mask"].sum()
        return counts.nll * (self.trainer.accumulate_grad_batches * self.trainer.world_size / batch["step_tokens"])

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip by the norm of all gradients together, and keep that norm for the log. Nothing is scaled in bf16 or float32."""
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        self.gradient_norm = nn.utils.clip_grad_norm_(trained, gradient_clip_val or math.inf)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the window's means; one read-back from the device a window."""
        step = self.trainer.global_step
        if self.trainer.fit_loop._should_accumulate() or step % self.optimization["log_every"]:
            return
        nll, right, tokens = (float(torch.stack([getattr(c, k) for c in self.window]).sum()) for k in ("nll", "right", "tokens"))
        rate = float(self.seen_tokens) / (time.perf_counter() - self.since)
        metrics = {
            "train/loss": nll / tokens,
            "train/perplexity": math.exp(min(nll / tokens, 50)),
            "train/accuracy": right / tokens,
            "train/learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            "train/gradient_norm": float(self.gradient_norm),
            "train/tokens_per_second": rate,
        }
        peak = peak_flops()
        if peak:
            # FLOPs a token: forward 2N, backward through activations 2N, through weights 2N only where all are trained. N leaves
            # out the embedding, which multiplies nothing on the way in; on the way out only answer tokens meet it.
            per_token = (4 if adapters.has_adapter(self.net) else 6) * (self.parameters_in_all - self.embedded)
            metrics["train/model_flops_utilisation"] = rate * per_token / peak
        self.log("loss", nll / tokens, prog_bar=True, logger=False)
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)
        self.window = []
        self.on_train_epoch_start()

    def on_train_epoch_start(self) -> None:
        """Waiting between epochs does not count as training time."""
        self.seen_tokens, self.since = torch.tensor(0), time.perf_counter()

    on_validation_end = on_train_epoch_start

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Count; nothing is averaged before the end."""
        counts = self.count(batch)
        self.loss_mean.update(counts.nll / counts.tokens, weight=counts.tokens)
        self.accuracy_mean.update(counts.right / counts.tokens, weight=counts.tokens)

    def on_validation_epoch_end(self) -> None:
        """Log the means over all answer tokens of all processes."""
        self.log_means("validation")

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Log the means over all answer tokens of all processes."""
        self.log_means("test")

    def log_means(self, split: str) -> None:
        """Loss, perplexity and token accuracy of a split."""
        loss, accuracy = self.loss_mean.compute(), self.accuracy_mean.compute()
        self.loss_mean.reset()
        self.accuracy_mean.reset()
        self.log(f"{split}/loss", loss, prog_bar=True)
        self.log(f"{split}/perplexity", loss.exp())
        self.log(f"{split}/accuracy", accuracy)

    def configure_optimizers(self) -> Any:
        """AdamW on what is trained (decay on matrices only); the schedule's length comes from the data, not from the Trainer."""
        o = self.optimization
        trained = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": o["weight_decay"]},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=o["learning_rate"], betas=(0.9, o["beta2"]), fused=True)
        steps = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, o["total_steps"], o["warmup_ratio"]))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": steps, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {name: tensor for name, tensor in checkpoint["state_dict"].items() if name in names}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not hold just what this model trains. Raises ValueError."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        strange = names ^ set(checkpoint["state_dict"])
        if strange:
            raise ValueError(f"the checkpoint is of another model: {len(strange)} tensors differ, such as {sorted(strange)[:2]}")
