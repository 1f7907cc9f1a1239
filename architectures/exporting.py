"""A trained model -> what others can use: merged 16-bit weights, GGUF; and what it becomes with fewer bits or fewer weights.

Magnitude pruning: Han et al. 2015, https://arxiv.org/abs/1506.02626. LLM.int8(): Dettmers et al. 2022, https://arxiv.org/abs/2208.07339.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from architectures import adapters
from architectures.backends import base_identity
from architectures.checkpoints import RUN_FILE

CONVERTER = "convert_hf_to_gguf.py"  # of llama.cpp


def merge(module: Any, exported: Path, folder: Path) -> None:
    """Base and adapter as one model in bfloat16 (safetensors), which `checkpoints.load` takes as any other; a whole model as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    if not adapters.has_adapter(module.net):
        shutil.copytree(exported, folder, dirs_exist_ok=True)
        return
    net: Any = adapters.merge(module.model_settings["base"], exported, torch.bfloat16)
    net.save_pretrained(folder)
    record = json.loads((exported / RUN_FILE).read_text(encoding="utf-8"))
    record["origin"]["merged_from"] = base_identity(module)[:2]
    record["model"] |= {"base": str(folder.resolve()), "adapter": "none", "quantization": "none", "dtype": "bfloat16"}
    (folder / RUN_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def variant(merged: Path, name: str) -> nn.Module:
    """A merged model as it is; with its weights in 4 or 8 bits; or without a share of its smallest ones in each linear layer.

    Args:
        name: merged, nf4, int8, or pruned-0.3.
    """
    quantization = name if name in ("nf4", "int8") else "none"
    net = adapters.load_base(str(merged), "pretrained", "bfloat16", quantization, "auto")
    if torch.cuda.is_available() and quantization == "none":
        net = net.to("cuda")
    if name.startswith("pruned-"):
        prune(net, float(name.removeprefix("pruned-")))
    return net.eval()


@torch.no_grad()
def prune(net: Any, share: float) -> None:
    """Set the smallest weights of each linear layer to zero; embeddings and the output head stay whole."""
    head = net.get_output_embeddings()
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer is not head:
            size = layer.weight.abs().flatten()
            limit = size.float().kthvalue(max(1, int(share * size.numel()))).values
            layer.weight[layer.weight.abs().float() <= limit] = 0


def converter() -> Path:
    """llama.cpp's converter. Raises ValueError if it is not there."""
    place = os.environ.get("LLAMA_CPP")
    script = Path(place) / CONVERTER if place else Path(shutil.which(CONVERTER) or CONVERTER)
    if not script.is_file():
        raise ValueError(
            f"export=gguf: {script} is not there: clone llama.cpp, pip install its requirements, and set LLAMA_CPP to its folder"
        )
    return script


def gguf(merged: Path, target: Path) -> None:
    """A merged model as GGUF, by llama.cpp's converter. Raises ValueError if that is not there, or fails."""
    command = [sys.executable, str(converter()), str(merged), "--outfile", str(target), "--outtype", "bf16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not target.is_file():
        last = "\n  ".join((done.stderr or done.stdout).splitlines()[-10:])
        raise ValueError(f"export=gguf: the converter ended with status {done.returncode}:\n  {last}")


def push(folder: Path, name: str) -> str:
    """An exported folder into a private repository of the Hub; its address. The token is Hugging Face's own (`hf auth login`, HF_TOKEN).

    Raises ValueError if it cannot be pushed.
    """
    from huggingface_hub import HfApi, errors

    try:
        api = HfApi()
        address = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder)
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.OfflineModeIsEnabled, errors.LocalTokenNotFoundError, OSError) as error:
        raise ValueError(
            f"hub={name}: could not be pushed ({str(error).splitlines()[0][:200]}); what was exported is in {folder}"
        ) from None
    return str(address)
