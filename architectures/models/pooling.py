"""MeanPooled: a classifier on the mean of an encoder's hidden states, as sentence encoders are trained to be
read.

transformers' own classifiers read the first token, which in a sentence encoder is untrained. Imported where
it is used, since it imports transformers at once.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from architectures.compatibility.transformers import AnyAttention
from architectures.values import Configuration, Net

HEAD_FILE = "head.pt"


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean over the tokens of each row. (rows, time, width), (rows, time) -> float32 (rows, width)"""
    mask = attention_mask[..., None]
    return (hidden.float() * mask).sum(1) / mask.sum(1)


class MeanPooled(AnyAttention, PreTrainedModel):
    """An encoder, the mean of its hidden states, dropout and one linear layer. ``dropout``: before that
    layer.
    """

    base_model_prefix = "encoder"
    config_class = PreTrainedConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: Configuration, encoder: Net, dropout: float) -> None:
        super().__init__(config)
        self.encoder = encoder
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # it reads the first token, and its output is not used
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def of(
        cls, base: str, config: Configuration, init: str, dropout: float, **options: object
    ) -> "MeanPooled":
        """A new head on a pretrained (or, with ``init='random'``, a new) encoder; an exported model with
        its own head.
        """
        if init == "random":
            return cls(config, AutoModel.from_config(config, **options), dropout)
        model = cls(config, AutoModel.from_pretrained(base, config=config, **options), dropout)
        head = Path(base) / HEAD_FILE
        if head.is_file():
            model.classifier.load_state_dict(torch.load(head, weights_only=True))
        return model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, **ignored: object
    ) -> SequenceClassifierOutput:
        """(rows, time) both -> logits (rows, labels)"""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = mean_pool(hidden, attention_mask)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(pooled)))

    def save_pretrained(self, save_directory: str | Path, **options: object) -> None:  # type: ignore[override]
        """Write the encoder in its own format, so that transformers can load it, and the head beside it."""
        self.encoder.save_pretrained(save_directory, **options)
        torch.save(self.classifier.state_dict(), Path(save_directory) / HEAD_FILE)
