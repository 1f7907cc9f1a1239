"""Where an adapter begins, if not at random and zero.

PiSSA (Meng et al. 2024, https://arxiv.org/abs/2404.02948) and OLoRA (Büyükakyüz 2024,
https://arxiv.org/abs/2406.01775) begin with a part of each weight, found by SVD or by QR, which the weight
loses. Here the weight stays as it is, and a second, frozen adapter takes that part away: with it the model
computes the same, the base is still there without its adapters, and both together are one adapter of twice
the rank, which is exported.

EVA (Paischer et al. 2024, https://arxiv.org/abs/2410.07170) begins with the directions in which the inputs of
each layer vary most.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from architectures.values import Batch, Layer, Net

if TYPE_CHECKING:
    from peft.utils.incremental_pca import IncrementalPCA

log = logging.getLogger(__name__)

DEFAULT, START = "default", "start"  # names of PEFT's adapters: the trained one, and what it begins with
PISSA_ITERATIONS = 16  # of the randomised SVD (Halko et al. 2011, https://arxiv.org/abs/0909.4061)
FROM_WEIGHTS = ("pissa", "olora")
EVA_BATCHES, EVA_TOKENS = 8, 1024  # of training rows, and of each of them, that EVA looks at


def _lora_layers(net: Net) -> Iterator[Layer]:
    """The layers around which PEFT has put an adapter."""
    for module in net.modules():
        if hasattr(module, "lora_A") and DEFAULT in module.lora_A:
            yield module


def has_start(net: Net) -> bool:
    """Whether a net's adapter begins with a part of its weights."""
    return START in getattr(net, "peft_config", {})


def is_start(name: str) -> bool:
    """Whether a parameter, by its name, is of what an adapter begins with."""
    return f".{START}." in name


def freeze_start(net: Net) -> None:
    """Keep what an adapter begins with from being trained; PEFT trains whatever it switches on."""
    for name, parameter in net.named_parameters():
        if is_start(name):
            parameter.requires_grad = False


def begin_with_weights(net: Net, method: str) -> None:
    """Let a fresh adapter begin with a part of each weight, and a second one take it away.

    Args:
        method: 'pissa' or 'olora'.
    """
    config = copy.copy(net.peft_config[DEFAULT])
    config.modules_to_save = None
    net.add_adapter(START, config)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)  # the same start, wherever the model is loaded
        for layer in _lora_layers(net):
            _begin_layer(layer, method)
    freeze_start(net)


def _begin_layer(layer: Net, method: str) -> None:
    """The start of one layer, by PEFT's arithmetic on a copy of its weight."""
    base = layer.get_base_layer()
    weight = base.weight.data
    base.weight.data = weight.clone()  # which PEFT replaces, or changes
    if method == "pissa":
        layer.pissa_init(DEFAULT, f"pissa_niter_{PISSA_ITERATIONS}")
    else:
        layer.olora_init(DEFAULT)
    base.weight.data = weight
    a, b = layer.lora_A[DEFAULT].weight, layer.lora_B[DEFAULT].weight
    a.data, b.data = a.data.float().contiguous(), b.data.float().contiguous()
    layer.lora_A[START].weight.data = a.data.clone()
    layer.lora_B[START].weight.data = -b.data
    layer.lora_dropout[START] = layer.lora_dropout[DEFAULT]
    layer.set_adapter([DEFAULT, START])


def save_with_start(net: Net, folder: Path) -> None:
    """Write both adapters as one of twice the rank, in PEFT's format."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    own, start = (get_peft_model_state_dict(net, adapter_name=name) for name in (DEFAULT, START))
    scale = next(iter(_lora_layers(net))).scaling[DEFAULT]
    both: dict[str, Tensor] = dict(own)
    for name, begun in start.items():
        if ".lora_A." in name:
            both[name] = torch.cat([own[name], begun])
        elif ".lora_B." in name:
            both[name] = torch.cat([own[name], begun], dim=1) * scale
    config = copy.copy(net.peft_config[DEFAULT])
    config.r = config.lora_alpha = 2 * config.r
    config.use_rslora, config.init_lora_weights, config.inference_mode = False, True, True
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().cpu().contiguous() for name, value in both.items()},
              folder / "adapter_model.safetensors", metadata={"format": "pt"})  # fmt: skip
    config.save_pretrained(str(folder))


def settings_of_saved(model: dict[str, object]) -> dict[str, object]:
    """The settings of a model as its adapter is written, by `save_with_start` or by PEFT: one that begins as
    LoRA's do.
    """
    if model.get("lora_init", "default") in FROM_WEIGHTS:
        rank = 2 * int(str(model["lora_r"]))
        model = {**model, "lora_r": rank, "lora_alpha": rank, "lora_variant": "lora"}
    return {**model, "lora_init": "default"}


class _Directions:
    """Finds in which directions the inputs of layers vary most, by PEFT's incremental PCA.

    Layers that get one input after another (query, key and value) share what is found.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.leader_of: dict[Layer, Layer] = {}  # the first layer that gets the same input
        self.found: dict[Layer, IncrementalPCA] = {}
        self.last: tuple[Tensor, Layer] | None = None  # the last input, and the first layer that got it

    def see(self, layer: Layer, inputs: tuple[Tensor, ...]) -> None:
        """Learn from what a layer gets: a hook before its forward pass."""
        if self.last is not None and inputs[0] is self.last[0]:
            self.leader_of[layer] = self.last[1]
            return
        self.last = (inputs[0], layer)
        self.leader_of[layer] = layer
        if layer not in self.found:
            self.found[layer] = _new_pca(self.rank)
        states = inputs[0].detach().flatten(0, -2)
        states = states[:: -(-len(states) // EVA_TOKENS)].float()
        if min(states.shape) >= self.rank:
            self.found[layer].partial_fit(states)

    def of(self, layer: Layer) -> Tensor:
        """The main directions of a layer's inputs. -> (rank, in)

        Raises ValueError if the inputs have fewer.
        """
        components: Tensor | None = getattr(self.found[self.leader_of[layer]], "components_", None)
        if components is None:
            raise ValueError(
                f"model.lora_init=eva: a batch has too few tokens, or a layer too few inputs, for"
                f" {self.rank} directions: lower model.lora_r, or raise trainer.micro_batch"
            )
        return components[: self.rank].float().contiguous()


def _new_pca(rank: int) -> "IncrementalPCA":
    """PEFT's, with its own seed."""
    from peft.utils.incremental_pca import IncrementalPCA

    return IncrementalPCA(n_components=rank, copy=True, lowrank=True, lowrank_seed=0)


def begin_with_inputs(net: Net, batches: Iterable[Batch], forward: Callable[[Batch], object]) -> None:
    """Let a fresh adapter begin with the main directions of each layer's inputs, of one rank for all; with a
    progress bar.

    Args:
        batches: of training rows; the first of them are looked at. forward: passes one through the model.
    """
    log.info("the adapter begins with the directions in which inputs vary most (EVA)")
    layers = list(_lora_layers(net))
    directions = _Directions(net.peft_config[DEFAULT].r)
    hooks = [layer.register_forward_pre_hook(directions.see) for layer in layers]
    was_training = net.training
    net.eval()
    with torch.no_grad(), torch.random.fork_rng():
        for batch in tqdm(islice(batches, EVA_BATCHES), total=EVA_BATCHES, desc="EVA", delay=2, leave=False):
            forward(batch)
    for hook in hooks:
        hook.remove()
    net.train(was_training)
    for layer in layers:
        layer.lora_A[DEFAULT].weight.data.copy_(directions.of(layer))
