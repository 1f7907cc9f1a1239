"""SequenceClassifier: texts as token ids -> labels. One label a text (softmax), or any number of them (a
sigmoid each).

Metrics are counted over the whole epoch and all processes by torchmetrics; no mean of batch means, no row
left out.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, Metric, MetricCollection, classification

from architectures.models import building, loading, lora
from architectures.models.fine_tuned import Counts, FineTuned
from architectures.models.thresholds import choose_thresholds, decide
from architectures.values import Batch, Settings

log = logging.getLogger(__name__)

# Inverse strength of the probe's regularisation, as scikit-learn has it; most iterations.
PROBE_C, PROBE_STEPS = (
    10.0,
    300,
)

AVERAGES = ("macro", "micro", "weighted")
TEMPERATURES = [2 ** (step / 16) for step in range(-48, 49)]  # from an eighth to eight


def _build_metrics(labels: int, multi_label: bool) -> MetricCollection:
    """Accuracy (of whole rows), and precision, recall and F1: macro, micro, weighted, and each class's own
    (``class_f1``, ...).

    Where a text can have several labels also macro and micro F1 'with none', as published for UNFAIR-ToS
    (Chalkidis et al. 2022, https://arxiv.org/abs/2110.00976): a further column that says 'no label' is
    appended to truth and prediction.
    """
    c = classification
    classes: dict[str, Any]  # torchmetrics' classes share no constructor
    if multi_label:
        classes = {
            "precision": c.MultilabelPrecision,
            "recall": c.MultilabelRecall,
            "f1": c.MultilabelF1Score,
        }
        accuracy: Metric = c.MultilabelExactMatch(labels)
    else:
        classes = {
            "precision": c.MulticlassPrecision,
            "recall": c.MulticlassRecall,
            "f1": c.MulticlassF1Score,
        }
        accuracy = c.MulticlassAccuracy(labels, average="micro")
    metrics: dict[str, Metric] = {"accuracy": accuracy}
    for name, metric in classes.items():
        metrics |= {f"{average}_{name}": metric(labels, average=average) for average in AVERAGES}
    for name, metric in classes.items():
        metrics[f"class_{name}"] = metric(labels, average="none")
    return MetricCollection(metrics)  # type: ignore[arg-type]  # a dictionary is invariant in its values


def _build_none_metrics(labels: int) -> MetricCollection:
    """F1 over the labels and the column that says 'no label'."""
    macro = classification.MultilabelF1Score(labels + 1, average="macro")
    micro = classification.MultilabelF1Score(labels + 1, average="micro")
    return MetricCollection({"macro_f1_with_none": macro, "micro_f1_with_none": micro})


def with_none(given: Tensor) -> Tensor:
    """Append the column that is 1 where no label is given. (rows, labels) of 0 and 1 -> (rows, labels + 1)"""
    return torch.cat([given, 1 - given.amax(1, keepdim=True)], 1)


class SequenceClassifier(FineTuned):
    """A classifier of texts.

    Args:
        model: arguments of `build_net`, with ``head`` as a plain dictionary, and ``class_weights``: factors
        of the loss of
            each label (empty: none).
        optimization, origin: as in `FineTuned`.
    """

    def __init__(self, model: Settings, optimization: Settings, origin: Settings) -> None:
        super().__init__(model, optimization, origin)
        self.head = loading.ClassifierHead(**model["head"])
        weights = torch.tensor(model["class_weights"]) if model["class_weights"] else None
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)
        self.loss_mean = MeanMetric()
        count, several = len(self.head.labels), self.head.multi_label
        self.metrics = _build_metrics(count, several)
        self.none_metrics = _build_none_metrics(count) if several else MetricCollection({})

    def build(self, shapes_only: bool = False) -> nn.Module:
        """A base with a new head, with an adapter or trained whole."""
        others = ("head", "class_weights")
        settings = {key: value for key, value in self.model_settings.items() if key not in others}
        net: nn.Module = building.build_net(**settings, head=self.head)
        return net

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits. input_ids, attention_mask: (rows, time) -> (rows, labels)"""
        device = input_ids.device.type
        in_bfloat16 = lora.base_model(self.net).base_model.dtype == torch.bfloat16
        # a head in float32 on a base in bfloat16 needs autocast
        with torch.autocast(device, torch.bfloat16, enabled=in_bfloat16 or torch.is_autocast_enabled(device)):
            logits: Tensor = self.net(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits.float()

    def count(self, logits: Tensor, targets: Tensor) -> Counts:
        """Summed loss and right guesses of rows. logits: (rows, labels); targets: (rows,) places or (rows,
        labels) of 0 and 1
        """
        if self.head.multi_label:
            loss = functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=self.class_weights, reduction="none"
            ).mean(1)
            right = (self.decide(logits) == targets).all(1)
        else:
            loss = functional.cross_entropy(logits, targets, weight=self.class_weights, reduction="none")
            right = self.decide(logits) == targets
        return Counts(loss.sum(), right.sum(), torch.tensor(len(targets), device=logits.device))

    def decide(self, logits: Tensor) -> Tensor:
        """Logits -> places of the likeliest labels (rows,), or 0 and 1 for each label (rows, labels)."""
        decided = decide(self.probabilities(logits), self.head.multi_label, self.head.thresholds)
        return decided if self.head.multi_label else decided.argmax(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(rows, labels): of one label against the others, or of each label by itself."""
        logits = logits / self.head.temperature
        return logits.sigmoid() if self.head.multi_label else logits.softmax(1)

    def logits_of(self, batch: Batch) -> Tensor:
        """Logits of a batch on any device. (rows, labels)"""
        logits: Tensor = self(batch["input_ids"].to(self.device), batch["attention_mask"].to(self.device))
        return logits

    @torch.inference_mode()
    def predict_proba(self, batch: Batch) -> Tensor:
        """Probabilities of a batch. (rows, labels), on the CPU"""
        return self.probabilities(self.logits_of(batch)).cpu()

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Set the temperature with which the probabilities of some rows, not those of training, have the
        smallest loss (Guo et al. 2017, https://arxiv.org/abs/1706.04599), and, where the best checkpoint is
        chosen by F1, the thresholds of labels that are given one by one, or of the last of two, if they help
        (`architectures.models.thresholds`).
        """
        found = []
        with torch.inference_mode():
            for batch in batches:
                found.append((self.logits_of(batch).cpu(), batch["targets"].cpu()))
        logits, targets = (torch.cat(parts) for parts in zip(*found, strict=True))
        several = self.head.multi_label
        loss = functional.binary_cross_entropy_with_logits if several else functional.cross_entropy
        losses = [loss(logits / one, targets) for one in TEMPERATURES]
        temperature = TEMPERATURES[int(torch.stack(losses).argmin())]
        self.head = replace(self.head, temperature=temperature)
        log.info("probabilities are calibrated on %d rows: temperature %.2f", len(logits), temperature)
        monitor = self.optimization["monitor"]
        if monitor == "f1" or (several and "f1" in monitor):
            self.head = replace(self.head, thresholds=self._thresholds(logits, targets))
        changes = {"temperature": temperature, "thresholds": self.head.thresholds}
        self.model_settings = {**self.model_settings, "head": {**self.model_settings["head"], **changes}}

    def _thresholds(self, logits: Tensor, targets: Tensor) -> list[float] | None:
        """Thresholds by the rows of `calibrate`, logged with what they gain; None where they gain nothing."""
        probabilities, labels = self.probabilities(logits), self.head.labels
        truth = targets.long()
        if not self.head.multi_label:
            probabilities, truth, labels = probabilities[:, 1:], truth[:, None], labels[1:]
        found, before, after = choose_thresholds(probabilities, truth)
        named = ", ".join(f"{name} {value:.2f}" for name, value in zip(labels, found or [], strict=False))
        message = (
            "decision thresholds: %s; mean F1 of rows that they were not chosen on %.1f%%, with 0.5 %.1f%%"
        )
        log.info(message, named or "0.5 for all", 100 * after, 100 * before)
        return found

    def probe(self, batches: Iterable[Batch]) -> None:
        """Fit the head's last layer alone: logistic regression on what it reads from the frozen base.

        Fine-tuning from there distorts the base less (Kumar et al. 2022, https://arxiv.org/abs/2202.10054).
        Raises ValueError if the head reads every token rather than one vector a text.
        """
        layers = [layer for layer in self.net.modules() if isinstance(layer, nn.Linear)]
        last = [layer for layer in layers if layer.out_features == len(self.head.labels)][-1]
        features, targets = self.head_inputs(last, batches)
        scale = features.norm(
            dim=1
        ).mean()  # the strength of the regularisation is that for features of length 1
        weight = torch.zeros_like(last.weight, requires_grad=True)
        bias = torch.zeros_like(last.bias, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=PROBE_STEPS, line_search_fn="strong_wolfe")

        def objective() -> float:
            optimizer.zero_grad()
            logits = functional.linear(features / scale, weight, bias)
            loss = self.count(logits, targets).loss + weight.square().sum() / (2 * PROBE_C)
            loss.backward()
            return float(loss.detach())

        optimizer.step(objective)
        with torch.no_grad():
            last.weight.copy_(weight / scale)
            last.bias.copy_(bias)

    def head_inputs(self, layer: nn.Linear, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """(what a layer reads (rows, width), targets) of all batches. Raises ValueError if it reads every
        token.
        """
        inputs: list[Tensor] = []
        targets: list[Tensor] = []
        handle = layer.register_forward_pre_hook(lambda layer, args: inputs.append(args[0].detach().float()))
        self.net.eval()
        with torch.no_grad():
            for batch in batches:
                self.logits_of(batch)
                targets.append(batch["targets"].to(self.device))
        handle.remove()
        self.net.train()
        if inputs[0].ndim != 2:
            raise ValueError(
                "model.probe=true: this model's head reads every token, not one vector a text; set"
                " model.pooling=mean"
            )
        return torch.cat(inputs), torch.cat(targets)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss, normalised by the rows of the whole optimiser step, over its micro-batches and processes."""
        logits, counted = self(batch["input_ids"], batch["attention_mask"]), batch["counted"]
        return self.step_loss(self.count(logits[counted], batch["targets"][counted]), batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count; nothing is averaged before the end."""
        logits, counted = self(batch["input_ids"], batch["attention_mask"]), batch["counted"]
        if not counted.any():
            return
        logits, targets = logits[counted], batch["targets"][counted]
        counts = self.count(logits, targets)
        self.loss_mean.update(counts.loss / counts.size, weight=counts.size)
        decided = self.decide(logits)
        self.metrics.update(decided, targets.long())
        if self.head.multi_label:
            self.none_metrics.update(with_none(decided), with_none(targets.long()))

    def log_split(self, split: str) -> None:
        """Loss, the averages, and each class's precision, recall and F1; of two classes, the last one's
        also as f1.
        """
        labels = self.head.labels
        self.log(f"{split}/loss", self.loss_mean.compute(), prog_bar=True)
        values = self.metrics.compute()
        if self.head.multi_label:
            values |= self.none_metrics.compute()
        for name, value in values.items():
            if value.ndim:
                short = name.removeprefix("class_")
                by_label = zip(labels, value, strict=True)
                self.log_dict({f"{split}/{short}/{label}": one for label, one in by_label})
                if len(labels) == 2 and not self.head.multi_label:
                    self.log(f"{split}/{short}", value[-1], prog_bar=short == "f1")
            else:
                self.log(f"{split}/{name}", value, prog_bar=name in ("accuracy", "macro_f1"))
        for metric in (self.loss_mean, self.metrics, self.none_metrics):
            metric.reset()
