"""The state of every random number generator of a process, as plain types."""

import random

import torch

from architectures.values import State


def random_state() -> State:
    """The state of all generators of random numbers in this process, as plain types."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    version, state, gauss = random.getstate()
    return {"torch": torch.get_rng_state(), "cuda": devices, "python": [version, list(state), gauss]}


def set_random_state(state: State) -> None:
    """Continue with a state that `random_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
