"""A classifier as an ONNX file: token ids in, calibrated probabilities out, whatever runs it."""

import copy
import json
import logging
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from architectures.models import lora
from architectures.models.sequence_classifier import SequenceClassifier

log = logging.getLogger(__name__)

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CHATTY = ("onnx_ir", "onnxscript", "torch.onnx")  # loggers that tell of every step
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "probabilities"
ONE_FILE = 1_900_000_000  # bytes of weights; protobuf holds no more than 2 GB
TRIED = [(1, 5), (3, 17)]  # rows and tokens of the inputs on which the file is compared with the model
TOLERANCE = 1e-3


class _Probabilities(nn.Module):
    """What the file computes."""

    def __init__(self, classifier: SequenceClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask: int64 (rows, time) -> (rows, labels)"""
        return self.classifier.probabilities(self.classifier(input_ids, attention_mask))


def check_packages() -> None:
    """Raise ValueError if a package that export=onnx needs is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(f"export=onnx needs {', '.join(missing)}: pip install -r requirements/onnx.txt")


def write_onnx(module: SequenceClassifier, file: Path) -> None:
    """Write a classifier, its adapter merged, in float32. Labels and thresholds stand in the file's metadata.

    Raises ValueError if PyTorch's exporter cannot translate the model, or the file computes something else.
    """
    if module.model_settings["quantization"] != "none":
        raise ValueError("export=onnx: the base is in 4 bits; train it with model.quantization=none")
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    whole = _merged(module)
    example = _inputs(whole, *TRIED[-1])
    dimensions = {0: torch.export.Dim("rows"), 1: torch.export.Dim("tokens")}
    size = sum(parameter.nbytes for parameter in whole.parameters())
    try:
        program = torch.onnx.export(
            whole,
            example,
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_shapes=(dimensions, dimensions),
            dynamo=True,
            verbose=False,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ValueError(
            f"export=onnx: PyTorch's exporter cannot translate this model ({str(error).splitlines()[0]})"
        ) from None
    assert program is not None
    head = module.head
    described = {"labels": head.labels, "multi_label": head.multi_label, "thresholds": head.thresholds}
    program.model.metadata_props.update({key: json.dumps(value) for key, value in described.items()})
    program.save(str(file), external_data=size > ONE_FILE)
    _compare(whole, file)


def _merged(module: SequenceClassifier) -> _Probabilities:
    """A copy of the classifier in float32, with the adapter added to the weights."""
    whole = copy.deepcopy(module).cpu().float().eval()
    if lora.has_adapter(whole.net):
        whole.net = whole.net.merge_and_unload()
    return _Probabilities(whole).requires_grad_(False)


def _inputs(whole: _Probabilities, rows: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Random token ids, and a mask that leaves out the end of all rows but the first."""
    draw = torch.Generator().manual_seed(rows)
    size = int(whole.classifier.net.config.vocab_size)
    ids = torch.randint(0, size, (rows, tokens), generator=draw)
    mask = torch.ones_like(ids)
    mask[1:, tokens // 2 :] = 0
    return ids, mask


def _compare(whole: _Probabilities, file: Path) -> None:
    """Raise ValueError if the file's probabilities differ from the model's."""
    from onnxruntime import InferenceSession

    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = 0.0
    for rows, tokens in TRIED:
        inputs = _inputs(whole, rows, tokens)
        given = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
        (found,) = session.run([OUTPUT], given)
        largest = max(largest, float((torch.from_numpy(found) - whole(*inputs)).abs().max()))
    if not largest <= TOLERANCE:
        raise ValueError(
            f"export=onnx: the probabilities of {file} differ from the model's by up to {largest:.3g}"
        )
    log.info("onnxruntime's probabilities differ from the model's by up to %.1e", largest)
