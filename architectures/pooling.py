"""MeanPooled: a classifier on the mean of an encoder's hidden states, as sentence encoders are made to be read.

transformers' own classifiers read the first token, which in a sentence encoder has learnt nothing. Imported where it is used,
since it needs transformers at once.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD_FILE = "head.pt"


def mean_of(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean over the tokens that are there. (rows, time, width), (rows, time) -> float32 (rows, width)"""
    there = attention_mask[..., None]
    return (hidden.float() * there).sum(1) / there.sum(1)


class MeanPooled(PreTrainedModel):
    """An encoder, the mean of its hidden states, dropout and one linear layer. ``dropout``: before that layer."""

    base_model_prefix = "encoder"
    config_class = PreTrainedConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True  # the encoder itself has checked what it can do

    def __init__(self, config: Any, encoder: Any, dropout: float) -> None:
        super().__init__(config)
        self.encoder = encoder
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # it reads the first token, and nothing would read it
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        nn.init.normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def of(cls, base: str, config: Any, init: str, dropout: float, **options: Any) -> "MeanPooled":
        """A new head on a pretrained (or, with ``init='random'``, a new) encoder; a whole exported model with its head."""
        if init == "random":
            return cls(config, AutoModel.from_config(config, **options), dropout)
        made = cls(config, AutoModel.from_pretrained(base, config=config, **options), dropout)
        if (Path(base) / HEAD_FILE).is_file():
            made.classifier.load_state_dict(torch.load(Path(base) / HEAD_FILE, weights_only=True))
        return made

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **ignored: Any) -> SequenceClassifierOutput:
        """(rows, time) both -> logits (rows, labels)"""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(mean_of(hidden, attention_mask))))

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:  # type: ignore[override]
        """The encoder in its own format, so that plain transformers reads it as what it is, and the head beside it."""
        self.encoder.save_pretrained(save_directory, **options)
        torch.save(self.classifier.state_dict(), Path(save_directory) / HEAD_FILE)
