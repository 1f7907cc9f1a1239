"""SequenceClassifier: texts as token ids -> labels. One label a text (softmax), or any number of them (a sigmoid each).

Metrics are counted over the whole epoch and all processes by torchmetrics; no mean of batch means, no row left out.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric, MetricCollection, classification

from architectures import adapters
from architectures.fine_tuning import Counts, FineTuned

THRESHOLD = 0.5  # probability from which a label counts as given, where a text can have several
PROBE_C, PROBE_STEPS = 10.0, 300  # inverse strength of the probe's regularisation, as scikit-learn has it; most iterations
AVERAGES = ("macro", "micro", "weighted")


def metrics_of(labels: int, multi_label: bool) -> MetricCollection:
    """Accuracy (of whole rows), and precision, recall and F1: macro, micro, weighted, and each class's own (``class_f1``, ...).

    Where a text can have several labels also macro and micro F1 'with none', as published for UNFAIR-ToS (Chalkidis et al.
    2022, https://arxiv.org/abs/2110.00976): a further column that says 'no label' is appended to truth and prediction.
    """
    m = classification
    kinds: dict[str, Any]
    if multi_label:
        kinds = {"precision": m.MultilabelPrecision, "recall": m.MultilabelRecall, "f1": m.MultilabelF1Score}
        whole: Any = m.MultilabelExactMatch(labels)
    else:
        kinds = {"precision": m.MulticlassPrecision, "recall": m.MulticlassRecall, "f1": m.MulticlassF1Score}
        whole = m.MulticlassAccuracy(labels, average="micro")
    made = {f"{average}_{name}": kind(labels, average=average) for name, kind in kinds.items() for average in AVERAGES}
    each = {f"class_{name}": kind(labels, average="none") for name, kind in kinds.items()}
    return MetricCollection({"accuracy": whole, **made, **each})


def with_none(given: Tensor) -> Tensor:
    """Append the column that is 1 where no label is given. (rows, labels) of 0 and 1 -> (rows, labels + 1)"""
    return torch.cat([given, 1 - given.amax(1, keepdim=True)], 1)


class SequenceClassifier(FineTuned):
    """A classifier of texts.

    Args:
        model: arguments of `adapters.build`, with ``head`` as a plain dictionary, and ``class_weights``: by what the loss of each
            label is multiplied (empty: nothing).
        optimization, origin: as in `FineTuned`.
    """

    def __init__(self, model: dict[str, Any], optimization: dict[str, Any], origin: dict[str, Any]) -> None:
        super().__init__(model, optimization, origin)
        self.head = adapters.Head(**model["head"])
        weights = torch.tensor(model["class_weights"]) if model["class_weights"] else None
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)
        self.loss_mean = MeanMetric()
        self.metrics = metrics_of(len(self.head.labels), self.head.multi_label)
        columns = len(self.head.labels) + 1
        kinds: Any = {
            f"{average}_f1_with_none": classification.MultilabelF1Score(columns, average=average) for average in ("macro", "micro")
        }
        self.none_metrics = MetricCollection(kinds if self.head.multi_label else {})

    def build(self, shapes_only: bool = False) -> nn.Module:
        """A base with a new head, with an adapter or trained whole."""
        settings = {key: value for key, value in self.model_settings.items() if key not in ("head", "class_weights")}
        return adapters.build(**settings, head=self.head)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits. input_ids, attention_mask: (rows, time) -> (rows, labels)"""
        half = adapters.base_of(self.net).base_model.dtype == torch.bfloat16  # then the head, in float32, needs autocast
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=half or torch.is_autocast_enabled(input_ids.device.type)):
            return self.net(input_ids=input_ids, attention_mask=attention_mask).logits.float()

    def count(self, logits: Tensor, targets: Tensor) -> Counts:
        """Summed loss and right guesses of rows. logits: (rows, labels); targets: (rows,) places or (rows, labels) of 0 and 1"""
        if self.head.multi_label:
            loss = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.class_weights, reduction="none").mean(1)
            right = (self.decide(logits) == targets).all(1)
        else:
            loss = functional.cross_entropy(logits, targets, weight=self.class_weights, reduction="none")
            right = self.decide(logits) == targets
        return Counts(loss.sum(), right.sum(), torch.tensor(len(targets), device=logits.device))

    def decide(self, logits: Tensor) -> Tensor:
        """Logits -> places of the likeliest labels (rows,), or 0 and 1 for each label (rows, labels)."""
        return (self.probabilities(logits) >= THRESHOLD).long() if self.head.multi_label else logits.argmax(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(rows, labels): of one label against the others, or of each label by itself."""
        return logits.sigmoid() if self.head.multi_label else logits.softmax(1)

    @torch.inference_mode()
    def predict_proba(self, batch: dict[str, Tensor]) -> Tensor:
        """Probabilities of a batch. (rows, labels), on the CPU"""
        return self.probabilities(self(batch["input_ids"].to(self.device), batch["attention_mask"].to(self.device))).cpu()

    def probe(self, batches: Iterable[dict[str, Tensor]]) -> None:
        """Fit the head's last layer alone: logistic regression on what it reads from the base as it is.

        Fine-tuning from there distorts the base less (Kumar et al. 2022, https://arxiv.org/abs/2202.10054). Raises ValueError if
        the head reads every token rather than one vector a text.
        """
        last = [m for m in self.net.modules() if isinstance(m, nn.Linear) and m.out_features == len(self.head.labels)][-1]
        read: list[Tensor] = []
        targets: list[Tensor] = []
        handle = last.register_forward_pre_hook(lambda layer, inputs: read.append(inputs[0].detach().float()))
        self.net.eval()
        with torch.no_grad():
            for batch in batches:
                self(batch["input_ids"].to(self.device), batch["attention_mask"].to(self.device))
                targets.append(batch["targets"].to(self.device))
        handle.remove()
        self.net.train()
        if read[0].ndim != 2:
            raise ValueError("model.probe=true: this model's head reads every token, not one vector a text; set model.pooling=mean")
        features, wanted = torch.cat(read), torch.cat(targets)  # (rows, width)
        scale = features.norm(dim=1).mean()  # the strength of the regularisation is that for features of length 1
        weight, bias = (torch.zeros_like(p, requires_grad=True) for p in (last.weight, last.bias))
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=PROBE_STEPS, line_search_fn="strong_wolfe")

        def objective() -> float:
            optimizer.zero_grad()
            loss = self.count(functional.linear(features / scale, weight, bias), wanted).loss + weight.square().sum() / (2 * PROBE_C)
            loss.backward()
            return float(loss.detach())

        optimizer.step(objective)
        with torch.no_grad():
            last.weight.copy_(weight / scale)
            last.bias.copy_(bias)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss, normalised by the rows of the whole optimiser step, over its micro-batches and processes."""
        logits, there = self(batch["input_ids"], batch["attention_mask"]), batch["counted"]
        return self.step_loss(self.count(logits[there], batch["targets"][there]), batch)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Count; nothing is averaged before the end."""
        logits, there = self(batch["input_ids"], batch["attention_mask"]), batch["counted"]
        if not there.any():
            return
        logits, targets = logits[there], batch["targets"][there]
        counts = self.count(logits, targets)
        self.loss_mean.update(counts.loss / counts.size, weight=counts.size)
        decided = self.decide(logits)
        self.metrics.update(decided, targets.long())
        if self.head.multi_label:
            self.none_metrics.update(with_none(decided), with_none(targets.long()))

    def log_split(self, split: str) -> None:
        """Loss, the averages, and each class's precision, recall and F1; of two classes, the last one's stand as f1, too."""
        labels = self.head.labels
        self.log(f"{split}/loss", self.loss_mean.compute(), prog_bar=True)
        found = {**self.metrics.compute(), **(self.none_metrics.compute() if self.head.multi_label else {})}
        for name, value in found.items():
            if value.ndim:
                short = name.removeprefix("class_")
                self.log_dict({f"{split}/{short}/{label}": one for label, one in zip(labels, value, strict=True)})
                if len(labels) == 2 and not self.head.multi_label:
                    self.log(f"{split}/{short}", value[-1], prog_bar=short == "f1")
            else:
                self.log(f"{split}/{name}", value, prog_bar=name in ("accuracy", "macro_f1"))
        for metric in (self.loss_mean, self.metrics, self.none_metrics):
            metric.reset()
