"""A trained model as others use it: an adapter, merged 16-bit weights, GGUF, or ONNX; locally or on the
Hugging Face Hub.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from architectures.inference import gguf_export, onnx_export
from architectures.inference.options import GGUF_TYPES
from architectures.models import lora
from architectures.models.exported import base_identity, exported_folder
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import read_record, write_record
from architectures.models.sequence_classifier import SequenceClassifier


@dataclass(frozen=True)
class ModelText:
    """How a model's text becomes token ids. save_tokenizer: writes the tokenizer, with a chat template if
    there is one, into a folder. modelfile: what Ollama is told of a GGUF file, by its name.
    """

    save_tokenizer: Callable[[Path], object]
    modelfile: Callable[[str], str] = str


def export_model(
    module: FineTuned,
    path: Path,
    kind: str,
    to: str | None,
    outputs: Path,
    text: ModelText,
) -> tuple[Path, str]:
    """Write the model at ``path``, with its tokenizer; (the folder, the model's name).

    Args:
        kind: one of `architectures.inference.options.KINDS`. to: folder, new or empty; None: in ``outputs``.

    Raises ValueError if the folder cannot be used, packages or the converter to GGUF are missing or fail, or
    such a model cannot be exported.
    """
    _check_kind(module, kind)
    name = path.parent.name if path.name == "model" else path.stem
    folder = Path(to or outputs / "exports" / f"{name}-{kind}")
    _check_empty(folder)
    with tempfile.TemporaryDirectory() as place:
        exported = exported_folder(module, path, Path(place))
        work = Path(place) / "merged" if kind in GGUF_TYPES else folder
        if kind == "adapter":
            shutil.copytree(exported, folder, dirs_exist_ok=True)
        elif isinstance(module, SequenceClassifier):
            onnx_export.write_onnx(module, folder / f"{name}.onnx")
        else:
            write_merged(module, exported, work)
        text.save_tokenizer(work)
        if kind in GGUF_TYPES:
            file = folder / f"{name}.gguf"
            gguf_export.write_gguf(work, file, kind, module.model_settings["base"])
            (folder / "Modelfile").write_text(text.modelfile(file.name), encoding="utf-8")
    return folder, name


def _check_kind(module: FineTuned, kind: str) -> None:
    """Raise ValueError if a model is not exported so, or what that takes is missing."""
    if not isinstance(module, FineTuned):
        raise ValueError("export: a baseline is not exported; use the folder of its run")
    classifies = isinstance(module, SequenceClassifier)
    if classifies and kind not in ("adapter", "onnx"):
        raise ValueError(
            f"export={kind}: is for models that answer; of a classifier, set export=adapter or onnx"
        )
    if kind == "onnx":
        if not classifies:
            raise ValueError("export=onnx: is for classifiers; set export=merged or gguf")
        onnx_export.check_packages()
    if kind in GGUF_TYPES:
        gguf_export.converter()


def _check_empty(folder: Path) -> None:
    """Make a folder. Raises ValueError if it is not empty, or cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise ValueError(f"to={folder}: cannot be written to ({error})") from None
    if not is_empty:
        raise ValueError(f"to={folder}: is not empty; give another folder")


def write_merged(module: FineTuned, exported: Path, folder: Path) -> None:
    """Base and adapter as one model in bfloat16 (safetensors), loadable as any other; a whole model
    unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not lora.has_adapter(module.net):
        shutil.copytree(exported, folder, dirs_exist_ok=True)
        return
    lora.merge_adapter(module.model_settings["base"], exported, torch.bfloat16).save_pretrained(folder)
    record = read_record(exported)
    record["origin"]["merged_from"] = base_identity(module)[:2]
    merged = {"adapter": "none", "quantization": "none", "dtype": "bfloat16"}
    record["model"] |= {"base": str(folder.resolve()), **merged}
    write_record(folder, record)


def push_to_hub(folder: Path, name: str) -> str:
    """Upload a folder to a private repository of the Hub; its address.

    The token is Hugging Face's own (`hf auth login`, HF_TOKEN). Raises ValueError if the upload fails.
    """
    from huggingface_hub import HfApi, errors

    refusals = (errors.HfHubHTTPError, errors.HFValidationError)
    offline = (errors.OfflineModeIsEnabled, errors.LocalTokenNotFoundError, OSError)
    try:
        api = HfApi()
        address = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder)
    except (*refusals, *offline) as error:
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f"hub={name}: the upload failed ({reason}); the exported files are in {folder}"
        ) from None
    return str(address)
