"""What every fine-tuned model shares: a net that is built late, an optimiser and a schedule on what is
trained, small checkpoints.

The models themselves, with their training steps, are `causal_lm` and `sequence_classifier`.
"""

import logging
import math
import sys
import time
from dataclasses import dataclass
from typing import Literal

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from architectures.compatibility.lightning import attached_strategy, ends_step
from architectures.models import lora
from architectures.models.adapter_start import is_start
from architectures.models.optimizers import build_optimizer, is_hidden_matrix
from architectures.models.schedule import learning_rate_factor, peak_flops
from architectures.models.sharding import ShardingStrategy, full_tensor, shard_module
from architectures.values import Batch, Net, Settings

log = logging.getLogger(__name__)

COUNTED = ("loss", "right", "size")


@dataclass(frozen=True)
class Counts:
    """Sums over what is predicted (answer tokens, or rows): loss, right guesses, size. Scalars on the
    model's device.
    """

    loss: Tensor
    right: Tensor
    size: Tensor


class FineTuned(LightningModule):
    """A net of which some part is trained.

    Args:
        model: what the net is built from, plain types.
        optimization: optimizer (see `architectures.models.optimizers`), learning_rate, weight_decay, beta2,
        warmup_ratio, total_steps, log_every, schedule (cosine, linear, constant, plateau), plateau_factor,
        plateau_patience, monitor (the validation metric of a plateau schedule).
        origin: what the run was made of, as plain types, carried in checkpoints for whoever evaluates them.
    """

    def __init__(self, model: Settings, optimization: Settings, origin: Settings) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model_settings, self.optimization, self.origin = model, optimization, origin
        self.net: Net = None
        self.strict_loading = False  # a checkpoint lacks the frozen base; on_load_checkpoint checks the rest
        self.window: list[Counts] = []  # of the micro-batches since the last log
        self.logged_step = 0
        self.step_rows: list[Tensor] = []  # training rows of the current step
        self.skipped: list[
            list[int]
        ] = []  # training rows of the steps just before this one that were skipped
        self.seen_tokens, self.since = 0, time.perf_counter()
        self.gradient_norm = torch.tensor(0.0)

    def build(self, shapes_only: bool = False) -> nn.Module:
        """The net that ``model`` describes, or one that has its shapes alone."""
        raise NotImplementedError

    def configure_model(self) -> None:
        """Build the net where the Trainer wants it; called again, it does nothing."""
        if self.net is None:
            strategy = attached_strategy(self)
            if isinstance(strategy, ShardingStrategy):
                shard_module(self, self.build, strategy)
            else:
                self.net = self.build().train()  # a loaded base is in eval mode, which Lightning would keep
            assert self.net is not None
            self.trained, self.parameters_in_all = lora.count_parameters(self.net)
            self.embedded = self.net.get_input_embeddings().weight.numel()

    def step_loss(self, counts: Counts, batch: Batch) -> Tensor:
        """Remember a micro-batch for the log; its loss, normalised by the size of the whole optimiser step.

        Lightning divides by the number of micro-batches and averages over processes; both are undone here.
        """
        self.window.append(Counts(counts.loss.detach(), counts.right, counts.size))
        self.step_rows.append(batch["rows"])
        self.seen_tokens += batch["tokens"]
        parts = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return counts.loss * (parts / batch["step_size"])

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log what was counted over all rows of all processes."""
        self.log("step", float(self.trainer.global_step))  # Lightning's own step is one less
        self.log_split("validation")

    def on_test_epoch_end(self) -> None:
        """Log what was counted over all rows of all processes."""
        self.log("step", float(self.trainer.global_step))
        self.log_split("test")

    def log_split(self, split: str) -> None:
        """Log the figures of a split, and start counting anew."""
        raise NotImplementedError

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of all gradients together, and keep that norm for the log. bf16 and float32 need
        no scaling.

        A step with non-finite gradients is skipped, and is not logged: without a gradient an optimiser
        changes nothing.
        """
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm: Tensor = full_tensor(nn.utils.clip_grad_norm_(trained, gradient_clip_val or math.inf))
        rows, self.step_rows = torch.cat(self.step_rows).tolist(), []
        if torch.isfinite(norm):
            self.gradient_norm, self.skipped = norm, []
            return
        self.skipped.append(rows)
        self.window = self.window[: -self.trainer.accumulate_grad_batches]
        log.warning("step %d is skipped: its gradients are not finite", self.trainer.global_step + 1)
        for parameter in trained:
            parameter.grad = None

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Log, unless a callback has done so."""
        self.log_window()

    def log_window(self) -> None:
        """At the end of a step, if it is time, log the means since the last log; one read from the device."""
        step = self.trainer.global_step
        due = step % self.optimization["log_every"] == 0 and step != self.logged_step
        if not due or not ends_step(self.trainer):
            return
        self.logged_step = step
        loss, right, size, tokens = self.window_sums()
        if not size:
            return
        rate = tokens / (time.perf_counter() - self.since)
        metrics = {
            "train/loss": loss / size,
            "train/accuracy": right / size,
            "train/learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"],
            "train/gradient_norm": float(self.gradient_norm),
            "train/tokens_per_second": rate,
        }
        metrics |= self.derived(loss / size) | self.utilisation(rate)
        self.log("loss", loss / size, prog_bar=True, logger=False)
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)
        self.window = []
        self.on_train_epoch_start()

    def window_sums(self) -> list[float]:
        """Loss, right guesses, size and tokens since the last log, over all processes."""
        sums = [torch.zeros((), dtype=torch.float64)] * len(COUNTED)
        if self.window:
            sums = []
            for name in COUNTED:
                column = [getattr(counts, name) for counts in self.window]
                sums.append(torch.stack(column).sum().double())
        values = torch.stack([one.to(self.device) for one in (*sums, torch.tensor(self.seen_tokens))])
        total = self.trainer.strategy.reduce(values, reduce_op="sum")
        assert isinstance(total, Tensor)
        result: list[float] = total.tolist()
        return result

    def utilisation(self, tokens_per_second: float) -> dict[str, float]:
        """The share of the device's arithmetic that the model uses, where the device's rate is known.

        FLOPs a token: forward 2N, backward through activations 2N, through weights 2N only where all are
        trained. N leaves out the embedding, which multiplies nothing on the way in; on the way out only
        answer tokens meet it.
        """
        peak = peak_flops()
        if not peak:
            return {}
        passes = 4 if lora.has_adapter(self.net) else 6
        per_token = passes * (self.parameters_in_all - self.embedded)
        return {"train/model_flops_utilisation": tokens_per_second * per_token / peak}

    def derived(self, loss: float) -> dict[str, float]:
        """Metrics that follow from the training loss."""
        return {}

    def on_train_epoch_start(self) -> None:
        """Waiting between epochs does not count as training time."""
        self.seen_tokens, self.since = 0, time.perf_counter()

    def on_validation_end(self) -> None:
        """Step a plateau schedule; waiting for validation does not count as training time."""
        self.on_train_epoch_start()
        if self.optimization["schedule"] == "plateau" and self.trainer.state.fn == "fit":
            value = self.trainer.callback_metrics[f"validation/{self.optimization['monitor']}"]
            self.trainer.lr_scheduler_configs[0].scheduler.step(float(value))  # type: ignore[arg-type]

    def parameter_groups(self) -> list[Settings]:
        """What is trained, in groups of one weight decay (of matrices only) and one learning rate (that of
        an adapter's B matrices may be higher: LoRA+, Hayou et al. 2024, https://arxiv.org/abs/2402.12354).
        """
        o, ratio = self.optimization, float(self.optimization.get("lora_plus", 1))
        groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
        by_muon = o.get("optimizer") == "muon"
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                decay = o["weight_decay"] if parameter.ndim > 1 else 0.0
                factor = ratio if ".lora_B." in name else 1.0
                is_hidden = by_muon and is_hidden_matrix(name, parameter)
                groups.setdefault((decay, factor, is_hidden), []).append(parameter)
        found: list[Settings] = []
        for (decay, factor, is_hidden), parameters in groups.items():
            group = {"params": parameters, "weight_decay": decay, "lr": o["learning_rate"] * factor}
            found.append(group | ({"hidden_matrices": is_hidden} if by_muon else {}))
        return found

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser of what is trained; the schedule's length comes from the data, not from the
        Trainer.
        """
        o = self.optimization
        name = o.get("optimizer", "adamw")
        optimizer = build_optimizer(name, self.parameter_groups(), o["learning_rate"], o["beta2"])
        if o["schedule"] == "plateau":
            mode: Literal["min", "max"] = "min" if o["monitor"] == "loss" else "max"
            plateau = ReduceLROnPlateau(optimizer, mode, o["plateau_factor"], o["plateau_patience"])
            # stepped in on_validation_end: when a run is resumed before a validation, only validation itself
            # is repeated
            return {
                "optimizer": optimizer,
                "lr_scheduler": {
                    "scheduler": plateau,
                    "interval": "step",
                    "frequency": sys.maxsize,
                    "monitor": "never read",
                },
            }
        total, warmup, kind = o["total_steps"], o["warmup_ratio"], o["schedule"]
        scheduler = LambdaLR(optimizer, lambda step: learning_rate_factor(step, total, warmup, kind))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def trained_names(self) -> set[str]:
        """Names of the parameters that are trained."""
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def stored_names(self) -> set[str]:
        """Names of the parameters that a checkpoint holds: those that are trained, and what an adapter began
        with.
        """
        return self.trained_names() | {name for name, _ in self.named_parameters() if is_start(name)}

    def on_save_checkpoint(self, checkpoint: Settings) -> None:
        """Keep only what is trained, and what it began with."""
        names, state = self.stored_names(), checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: tensor for name, tensor in state.items() if name in names}

    def unlogged(self) -> list[list[float]]:
        """What was counted since the last log, as plain numbers, exact."""
        rows = []
        for counts in self.window:
            rows.append([getattr(counts, name).item() for name in COUNTED])
        return rows

    def remember(self, unlogged: list[list[float]]) -> None:
        """Continue counting from what `unlogged` gave."""
        self.window = []
        for values in unlogged:
            tensors = [torch.tensor(value, device=self.device) for value in values]
            self.window.append(Counts(*tensors))
        self.logged_step = self.trainer.global_step

    def on_load_checkpoint(self, checkpoint: Settings) -> None:
        """See `check_fit`."""
        self.check_fit(checkpoint)

    def check_fit(self, checkpoint: Settings) -> None:
        """Raise ValueError if a checkpoint does not hold exactly what this model trains."""
        different = self.stored_names() ^ set(checkpoint["state_dict"])
        if different:
            names = sorted(different)[:2]
            raise ValueError(
                f"the checkpoint is of another model: {len(different)} tensors differ, such as {names}"
            )
