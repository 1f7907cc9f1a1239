"""Several processes: DDP (each holds the whole net), or FSDP2 (each holds a shard of every layer), with one kind of checkpoint.

A checkpoint holds whole tensors under the names and numbers of a single process, so that a run may go on with any number of
processes and either strategy. FSDP: Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map

from architectures import adapters


def strategy_of(name: str, processes: int, shards: int) -> Strategy | str:
    """The Trainer's strategy.

    Args:
        name: ddp or fsdp, for ``processes`` in all; of one process nothing is shared, unless it is fsdp.
        shards: processes that hold the net together under fsdp; 0: all. With fewer, each group of them holds a copy.

    Raises ValueError if the processes cannot be grouped so.
    """
    if name == "fsdp":
        if shards and processes % shards:
            raise ValueError(f"trainer.shards={shards}: {processes} processes are no multiple of it")
        return ShardedStrategy(processes, shards or processes)
    return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True) if processes > 1 else "auto"


def whole(value: Any) -> Any:
    """A sharded tensor, gathered from all processes onto the CPU; anything else as it is."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2, with checkpoints of whole tensors of what is trained, through the Trainer's checkpoint writer."""

    def __init__(self, processes: int, shards: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False)
        self.processes, self.shards = processes, shards

    def mesh(self) -> Any:
        """(replicas, shards) of the processes; neighbours, so those of one machine, hold the net together."""
        from torch.distributed.device_mesh import init_device_mesh

        kind, replicas = self.root_device.type, self.processes // self.shards
        if replicas == 1:
            return init_device_mesh(kind, (self.shards,))
        return init_device_mesh(kind, (replicas, self.shards), mesh_dim_names=("replicas", "shards"))

    @property
    def lightning_restore_optimizer(self) -> bool:
        """The optimiser's state is restored as any other strategy's is."""
        return True

    def trained(self) -> dict[str, nn.Parameter]:
        """Names -> parameters that are trained."""
        assert self.lightning_module is not None
        return {name: p for name, p in self.lightning_module.named_parameters() if p.requires_grad}

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Whole tensors of what is trained."""
        return {name: whole(parameter.detach()) for name, parameter in self.trained().items()}

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Whole tensors, by the numbers that the optimiser itself gives its parameters."""
        state: dict[str, Any] = tree_map(whole, optimizer.state_dict())
        return state

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read by every process, whole."""
        content: dict[str, Any] = self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)
        return content

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Put this process's shards of whole tensors into the net."""
        for name, parameter in self.trained().items():
            parameter.detach().copy_(like(checkpoint["state_dict"][name], parameter))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Put this process's shards of whole tensors into the optimiser."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state = {
                number: {key: like(value, parameters[number]) if value.ndim else value for key, value in kept.items()}
                for number, kept in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": state})


def like(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor, which every process has, laid out as the parameter is."""
    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=None)


def shard(module: Any, build: Callable[[bool], nn.Module], strategy: ShardedStrategy) -> None:
    """Give the LightningModule its ``net``, built whole on the first process alone and sharded over all.

    No other process ever holds more than its shards: it builds shapes, and gets its part of one tensor after the other.

    Args:
        module: whatever in it calls parts of the net outside of its layers is one method, ``sums``, before and after which
            FSDP gathers and frees what those parts need.
        build: makes the net; called with True, its shapes alone (the current device is then 'meta').
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    first = strategy.global_rank == 0
    source = build(False) if first else None
    with torch.device("meta"):
        module.net = net = build(True).train()
    mesh = strategy.mesh()
    base: Any = adapters.base_of(net)
    for layer in base.base_model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(module, "sums")
    net.to_empty(device=strategy.root_device)
    base.tie_weights()
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(net, source.state_dict() if source else {}, options=options)
    buffers = dict(source.named_buffers()) if source else {}
    for name, buffer in net.named_buffers():
        if first:
            buffer.copy_(buffers[name])
        torch.distributed.broadcast(buffer, 0)


class Agreement:
    """A side channel on which the processes settle what one of them has learnt, such as a signal, without touching the device."""

    def __init__(self) -> None:
        there = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.several = there and torch.distributed.get_world_size() > 1
        self.group: Any = torch.distributed.new_group(backend="gloo") if self.several else None

    def largest(self, *values: int) -> list[int]:
        """The largest of each of the values over all processes."""
        if not self.several:
            return list(values)
        together = torch.tensor(values)
        torch.distributed.all_reduce(together, torch.distributed.ReduceOp.MAX, self.group)
        found: list[int] = together.tolist()
        return found

    def collected(self, value: Any) -> list[Any]:
        """Everyone's value, in the order of their ranks."""
        if not self.several:
            return [value]
        found: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, value, self.group)
        return found
