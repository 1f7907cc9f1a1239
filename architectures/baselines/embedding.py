"""A linear classifier on the embeddings of a frozen encoder."""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from architectures.baselines.base import Progress, no_progress
from architectures.baselines.linear import Linear
from architectures.models import bases, loading

BATCH = 64  # texts in a forward pass


class Embedding(Linear):
    """The mean of a frozen encoder's last hidden states, of length 1."""

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Embed, then search."""
        self.search([], {}, self.encoder.embed(texts).numpy(), targets)

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """Embed, then multiply."""
        vectors = self.encoder.embed(texts, progress)
        return self.normalise(vectors @ self.state["weight"].T + self.state["bias"])

    @functools.cached_property
    def encoder(self) -> "_Encoder":
        """Loaded once."""
        return _Encoder(self.settings["base"], self.settings["max_seq_length"])


class _Encoder:
    """A frozen encoder with its tokenizer.

    Args:
        base: as `resolve_base` takes it. max_length: tokens of a text; the rest is cut off.
    """

    def __init__(self, base: str, max_length: int) -> None:
        from transformers import AutoModel, AutoTokenizer

        path = bases.resolve_base(base)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path)
            self.net = AutoModel.from_pretrained(path).eval()
        except OSError as error:
            raise ValueError(f"no encoder at model.base={base}: {str(error).splitlines()[0]}") from None
        self.net.to("cuda" if torch.cuda.is_available() else "cpu")
        self.max_length = max_length

    @torch.inference_mode()
    def embed(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """The mean of the last hidden states over a text's tokens, of length 1. (rows, width)

        Texts of similar length go through the encoder together.
        """
        from architectures.models.pooling import mean_pool

        vectors = torch.zeros(len(texts), self.net.config.hidden_size)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        device = self.net.device
        options = {"padding": True, "truncation": True, "max_length": self.max_length, "return_tensors": "pt"}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = self.tokenizer([texts[place] for place in places], **options).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=loading.has_fast_bfloat16()):
                hidden = self.net(**batch).last_hidden_state  # (rows, time, width)
            vectors[places] = functional.normalize(mean_pool(hidden, batch["attention_mask"]), dim=1).cpu()
            progress(len(places))
        return vectors
