"""Classifiers as ONNX files: the probabilities of the model that they were made from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.inference import onnx_export
from architectures.inference.onnx_export import write_onnx
from architectures.models.sequence_classifier import SequenceClassifier


def classifier(model: dict[str, Any]) -> SequenceClassifier:
    """A classifier whose adapter does something, with a temperature and thresholds."""
    torch.manual_seed(3)
    module = SequenceClassifier(model, {}, {})
    module.configure_model()
    for name, parameter in module.net.named_parameters():
        if "lora_" in name:
            parameter.data += 0.2 * torch.randn(parameter.shape)
    thresholds = [0.5, 0.4, 0.3] if module.head.multi_label else None
    module.head = replace(module.head, temperature=1.5, thresholds=thresholds)
    return module.eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "llama"])
@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_the_file_gives_the_models_probabilities(
    settings: Any, tmp_path: Path, kind: str, adapter: str
) -> None:
    from onnxruntime import InferenceSession

    several = adapter == "none"
    module = classifier(settings(kind, adapter=adapter, multi_label=several))
    write_onnx(module, tmp_path / "model.onnx")
    session = InferenceSession(tmp_path / "model.onnx")
    ids = torch.randint(6, 60, (4, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    expected = module.predict_proba({"input_ids": ids, "attention_mask": mask})
    given = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    found = torch.from_numpy(session.run(["probabilities"], given)[0])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["labels"]) == ["a", "b", "c"]
    assert json.loads(said["thresholds"]) == module.head.thresholds
    assert json.loads(said["multi_label"]) is several


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_refused(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match=r"the probabilities of .*model\.onnx differ from the model's by"):
        write_onnx(classifier(settings()), tmp_path / "model.onnx")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "PACKAGES", ("onnx_is_not_here",))
    with pytest.raises(ValueError, match=r"onnx_is_not_here: pip install -r requirements/onnx\.txt"):
        onnx_export.check_packages()
