"""Shard a net over processes with FSDP2, and gather its tensors again.

FSDP: Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor

from architectures.models import lora


@runtime_checkable
class ShardingStrategy(Protocol):
    """What sharding needs of the Trainer's strategy."""

    global_rank: int
    root_device: torch.device

    def sharding_mesh(self) -> DeviceMesh:
        """(replicas, shards) of the processes."""
        ...


def full_tensor(value: Any) -> Any:  # any leaf of an optimiser's state: a tensor or a plain value
    """Gather a sharded tensor from all processes onto the CPU; return anything else unchanged."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def sharded_like(value: Tensor, parameter: Tensor) -> Tensor:
    """Lay out a full tensor, which every process holds, as ``parameter`` is laid out."""
    if not isinstance(parameter, DTensor):
        return value
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(value.to(parameter.device), mesh, placements, src_data_rank=None)


def shard_module(module: Any, build: Callable[[bool], nn.Module], strategy: ShardingStrategy) -> None:
    """Build the LightningModule's ``net`` whole on the first process alone, and shard it over all.

    No other process ever holds more than its shards: it builds shapes, and receives its part of one tensor
    after the other.

    Args:
        module: calls parts of the net outside of its layers in one method only, ``sums``, before and after
            which FSDP gathers and frees what those parts need.
        build: makes the net; called with True, its shapes alone (the current device is then 'meta').
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    is_first = strategy.global_rank == 0
    source = build(False) if is_first else None
    with torch.device("meta"):
        module.net = net = build(True).train()
    mesh = strategy.sharding_mesh()
    base = lora.base_model(net)
    for layer in base.base_model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(module, "sums")
    net.to_empty(device=strategy.root_device)
    base.tie_weights()
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    state = source.state_dict() if source else {}
    set_model_state_dict(net, state, options=options)
    buffers = dict(source.named_buffers()) if source else {}
    for name, buffer in net.named_buffers():
        if is_first:
            buffer.copy_(buffers[name])
        torch.distributed.broadcast(buffer, 0)
