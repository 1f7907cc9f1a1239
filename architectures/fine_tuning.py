"""What every fine-tuned model shares: built late, AdamW and a schedule on what is trained, checkpoints that hold only that.

The models themselves, with their training steps, are `architectures.causal_lm` and `architectures.sequence_classifier`.
"""

import logging
import math
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning import LightningModule
from torch import Tensor, nn

from architectures import adapters
from architectures.distributed import ShardedStrategy, shard, whole

log = logging.getLogger(__name__)
COUNTED = ("loss", "right", "size")
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A10G": 70e12, "4090": 165e12}  # dense bf16, vendor


@dataclass(frozen=True)
class Counts:
    """Sums over what is predicted (answer tokens, or rows): loss, right guesses, size. Scalars on the model's device."""

    loss: Tensor
    right: Tensor
    size: Tensor


def schedule(step: int, total_steps: int, warmup_ratio: float, kind: str) -> float:
    """Share of the peak learning rate: a linear rise over the warm-up, then cosine or linear down to nothing, or constant."""
    warmup = math.ceil(total_steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[kind]


def peak_flops() -> float | None:
    """FLOP/s of the device's matrix units in bfloat16, where known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for chip, peak in PEAK_FLOPS.items() if chip in name), None)


class FineTuned(LightningModule):
    """A net of which some part is trained.

    Args:
        model: what the net is built of, plain types.
        optimization: learning_rate, weight_decay, beta2, warmup_ratio, total_steps, log_every, schedule (cosine, linear,
            constant, plateau), plateau_factor, plateau_patience, monitor (the validation metric that a plateau is told by).
        origin: what the run was made of, as plain types, carried in checkpoints for whoever evaluates them.
    """

    def __init__(self, model: dict[str, Any], optimization: dict[str, Any], origin: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model_settings, self.optimization, self.origin = model, optimization, origin
        self.net: Any = None
        self.strict_loading = False  # a checkpoint lacks the frozen base; on_load_checkpoint checks the rest
        self.window: list[Counts] = []  # of the micro-batches since the last log
        self.logged_step = 0
        self.step_rows: list[Tensor] = []  # training rows of the step under way
        self.skipped: list[list[int]] = []  # training rows of the steps just before this one that were not taken
        self.seen_tokens, self.since = 0, time.perf_counter()
        self.gradient_norm = torch.tensor(0.0)

    def build(self, shapes_only: bool = False) -> nn.Module:
        """The net that ``model`` describes, or one that has its shapes alone."""
        raise NotImplementedError

    def configure_model(self) -> None:
        """Build the net where the Trainer wants it; called again, it does nothing."""
        if self.net is None:
            strategy = self._trainer.strategy if self._trainer else None
            if isinstance(strategy, ShardedStrategy):
                shard(self, self.build, strategy)
            else:
                self.net = self.build().train()  # a loaded base is in eval mode, which Lightning would keep
            assert self.net is not None
            self.trained, self.parameters_in_all = adapters.count_parameters(self.net)
            self.embedded = self.net.get_input_embeddings().weight.numel()

    def step_loss(self, counts: Counts, batch: dict[str, Any]) -> Tensor:
        """Remember a micro-batch for the log; give back its loss, normalised by the size of the whole optimiser step.

        Lightning divides by the number of micro-batches and averages over processes; both are undone here.
        """
        self.window.append(Counts(counts.loss.detach(), counts.right, counts.size))
        self.step_rows.append(batch["rows"])
        self.seen_tokens += batch["tokens"]
        return counts.loss * (self.trainer.accumulate_grad_batches * self.trainer.world_size / batch["step_size"])

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """As in validation."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log what was counted over all rows of all processes."""
        self.log("step", float(self.trainer.global_step))  # else Lightning takes one less
        self.log_split("validation")

    def on_test_epoch_end(self) -> None:
        """Log what was counted over all rows of all processes."""
        self.log("step", float(self.trainer.global_step))
        self.log_split("test")

    def log_split(self, split: str) -> None:
        """Log the figures of a split, and start counting anew."""
        raise NotImplementedError

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip by the norm of all gradients together, and keep that norm for the log. Nothing is scaled in bf16 or float32.

        A step whose gradients are not finite is not taken (without a gradient AdamW leaves all as it is), nor is it logged.
        """
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        norm = whole(nn.utils.clip_grad_norm_(trained, gradient_clip_val or math.inf))
        rows, self.step_rows = torch.cat(self.step_rows).tolist(), []
        if torch.isfinite(norm):
            self.gradient_norm, self.skipped = norm, []
            return
        self.skipped.append(rows)
        self.window = self.window[: -self.trainer.accumulate_grad_batches]
        log.warning("step %d is skipped: its gradients are not finite", self.trainer.global_step + 1)
        for parameter in trained:
            parameter.grad = None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log, if nobody has done so."""
        self.log_window()

    def log_window(self) -> None:
        """At the end of a step, if it is time, log the means since the last log; one read-back from the device."""
        step = self.trainer.global_step
        if self.trainer.fit_loop._should_accumulate() or step % self.optimization["log_every"] or step == self.logged_step:
            return
        self.logged_step = step
        mine = [torch.stack([getattr(c, k) for c in self.window]).sum().double() if self.window else torch.zeros(()) for k in COUNTED]
        together = torch.stack([m.to(self.device) for m in (*mine, torch.tensor(self.seen_tokens))])
        loss, right, size, tokens = self.trainer.strategy.reduce(together, reduce_op="sum").tolist()
        rate = tokens / (time.perf_counter() - self.since)
        if not size:
            return
        metrics = {
            "train/loss": loss / size,
            "train/accuracy": right / size,
            "train/learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            "train/gradient_norm": float(self.gradient_norm),
            "train/tokens_per_second": rate,
        }
        metrics |= self.derived(loss / size)
        peak = peak_flops()
        if peak:
            # FLOPs a token: forward 2N, backward through activations 2N, through weights 2N only where all are trained. N leaves
            # out the embedding, which multiplies nothing on the way in; on the way out only answer tokens meet it.
            per_token = (4 if adapters.has_adapter(self.net) else 6) * (self.parameters_in_all - self.embedded)
            metrics["train/model_flops_utilisation"] = rate * per_token / peak
        self.log("loss", loss / size, prog_bar=True, logger=False)
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)
        self.window = []
        self.on_train_epoch_start()

    def derived(self, loss: float) -> dict[str, float]:
        """What else follows from the training loss."""
        return {}

    def on_train_epoch_start(self) -> None:
        """Waiting between epochs does not count as training time."""
        self.seen_tokens, self.since = 0, time.perf_counter()

    def on_validation_end(self) -> None:
        """Tell a plateau schedule; waiting for validation does not count as training time."""
        self.on_train_epoch_start()
        if self.optimization["schedule"] == "plateau" and self.trainer.state.fn == "fit":
            value = self.trainer.callback_metrics[f"validation/{self.optimization['monitor']}"]
            self.trainer.lr_scheduler_configs[0].scheduler.step(float(value))  # type: ignore[arg-type]

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
        if o["schedule"] == "plateau":
            mode: Literal["min", "max"] = "min" if o["monitor"] == "loss" else "max"
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, o["plateau_factor"], o["plateau_patience"])
            # stepped in on_validation_end, since only what validation itself does is done again when a run is resumed before it
            watched = {"scheduler": plateau, "interval": "step", "frequency": sys.maxsize, "monitor": "never read"}
            return {"optimizer": optimizer, "lr_scheduler": watched}
        kind = {"total_steps": o["total_steps"], "warmup_ratio": o["warmup_ratio"], "kind": o["schedule"]}
        steps = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, **kind))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": steps, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {name: tensor for name, tensor in checkpoint["state_dict"].items() if name in names}

    def unlogged(self) -> list[list[float]]:
        """What was counted since the last log, as plain numbers, exact."""
        return [[getattr(counts, name).item() for name in COUNTED] for counts in self.window]

    def remember(self, unlogged: list[list[float]]) -> None:
        """Go on counting from what `unlogged` gave."""
        self.window = [Counts(*(torch.tensor(value, device=self.device) for value in one)) for one in unlogged]
        self.logged_step = self.trainer.global_step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As `check_fit`."""
        self.check_fit(checkpoint)

    def check_fit(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not hold just what this model trains. Raises ValueError."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        strange = names ^ set(checkpoint["state_dict"])
        if strange:
            raise ValueError(f"the checkpoint is of another model: {len(strange)} tensors differ, such as {sorted(strange)[:2]}")
