"""Several processes: DDP (each holds the whole net), or FSDP2 (each holds a shard of every layer), with one
kind of checkpoint.

A checkpoint holds full tensors under the names and numbers of a single process, so that a run can continue
with any number of processes and either strategy. FSDP: Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.optim import Optimizer

from architectures.compatibility.torch import map_tensors
from architectures.models.sharding import full_tensor, sharded_like
from architectures.values import State

Value = TypeVar("Value")


def build_strategy(name: str, processes: int, shards: int) -> Strategy | str:
    """The Trainer's strategy.

    Args:
        name: ddp or fsdp, for ``processes`` in all; one process alone needs no strategy, unless it is fsdp.
        shards: fsdp: processes that hold one copy of the net together; 0: all.

    Raises ValueError if the processes cannot be grouped so.
    """
    if name == "fsdp":
        if shards and processes % shards:
            raise ValueError(f"trainer.shards={shards}: {processes} processes are no multiple of it")
        return ShardedStrategy(processes, shards or processes)
    return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True) if processes > 1 else "auto"


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2, with checkpoints of whole tensors of what is trained, through the Trainer's checkpoint
    writer.
    """

    def __init__(self, processes: int, shards: int) -> None:
        super().__init__(
            data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
        self.processes, self.shards = processes, shards

    def sharding_mesh(self) -> DeviceMesh:
        """(replicas, shards) of the processes; the shards of a net lie on neighbours, so on one machine."""
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

    def lightning_module_state_dict(self) -> State:
        """Full tensors of what is trained."""
        return {name: full_tensor(parameter.detach()) for name, parameter in self.trained().items()}

    def optimizer_state(self, optimizer: Optimizer) -> State:
        """Full tensors, by the numbers that the optimiser itself gives its parameters."""
        return map_tensors(full_tensor, optimizer.state_dict())

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> State:
        """Read by every process, as a whole."""
        content: State = self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)
        return content

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this process's shards of full tensors into the net."""
        for name, parameter in self.trained().items():
            parameter.detach().copy_(sharded_like(checkpoint["state_dict"][name], parameter))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this process's shards of full tensors into the optimiser."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                number: _sharded_state(one, parameters[number]) for number, one in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": state})


def _sharded_state(state: dict[str, Tensor], parameter: nn.Parameter) -> dict[str, Tensor]:
    """An optimiser's state of one parameter, laid out as the parameter is; scalars stay whole."""
    sharded = dict(state)
    for name, value in state.items():
        if value.ndim:
            sharded[name] = sharded_like(value, parameter)
    return sharded


class SideChannel:
    """A channel between the processes, apart from the device, for what one of them has noticed, such as a
    signal.
    """

    def __init__(self) -> None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.several = distributed and torch.distributed.get_world_size() > 1
        self.group = torch.distributed.new_group(backend="gloo") if self.several else None

    def maximum(self, *values: int) -> list[int]:
        """The largest of each of the values over all processes."""
        if not self.several:
            return list(values)
        tensor = torch.tensor(values)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX, self.group)
        result: list[int] = tensor.tolist()
        return result

    def gather(self, value: Value) -> list[Value]:
        """Every process's value, in the order of their ranks."""
        if not self.several:
            return [value]
        values: list[Value | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(values, value, self.group)
        return [one for one in values if one is not None]
