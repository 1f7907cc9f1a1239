"""Settings of tiny models."""

from typing import Any

import pytest

TARGETS = {
    "bert": ["query", "key", "value", "dense"],
    "roberta": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "llama": ["q_proj", "v_proj"],
}


@pytest.fixture
def settings(model_settings: Any) -> Any:
    """settings(kind, ...) -> what a SequenceClassifier of a tiny model is built of."""

    def make(
        kind: str = "bert",
        labels: int = 3,
        multi_label: bool = False,
        pooling: str = "native",
        weights: Any = (),
        **changes: Any,
    ) -> Any:
        head = {
            "labels": list("abcdef"[:labels]),
            "multi_label": multi_label,
            "dropout": 0.0,
            "pad_id": 0,
            "pooling": pooling,
        }
        own = {"lora_targets": TARGETS[kind], "base_dropout": 0.0}
        return model_settings(kind, **own, head=head, class_weights=list(weights)) | changes

    return make
