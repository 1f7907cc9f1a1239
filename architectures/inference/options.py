"""What the command lines of evaluate.py and app.py may ask for, checked before PyTorch is imported."""

import re

from architectures.values import CommandLine

BACKENDS = ("auto", "transformers", "vllm", "endpoint")
GGUF_TYPES = {"gguf": "bf16", "gguf-q8_0": "q8_0"}  # kinds of export -> what the converter calls them
KINDS = ("adapter", "merged", *GGUF_TYPES, "onnx")  # of export
VARIANT_NAMES = "merged, nf4, int8, gguf, gguf-q8_0, and pruned-SHARE such as pruned-0.3"
VARIANT = re.compile(r"merged|nf4|int8|gguf|gguf-q8_0|pruned-0\.\d+")


def check_backend(backend: str | None, served_model: str | None) -> list[str]:
    """What is wrong with the choice of a back end, one line each."""
    if backend not in (None, *BACKENDS):
        return [f"backend={backend}: must be one of {', '.join(BACKENDS)}"]
    if backend == "endpoint" and not served_model:
        return ["served_model: what does the endpoint call the model? set served_model=..."]
    return []


def check_export(settings: CommandLine) -> list[str]:
    """What is wrong with the settings export, to, hub, golden, pairs, variants, speed and price."""
    problems = [f"{key}: is for export" for key in ("to", "hub") if settings[key] and not settings["export"]]
    if settings["compare"]:
        needing = ("export", "variants", "golden", "pairs")
        problems += [f"{key}: needs ckpt, not compare" for key in needing if settings[key]]
    problems += _check_alone(settings) + _check_speed(settings)
    return problems + _check_variants(settings["variants"] or [])


def _check_alone(settings: CommandLine) -> list[str]:
    """What is wrong with the settings that are instead of an evaluation, golden and pairs, one line each."""
    problems = []
    for alone in ("golden", "pairs"):
        others = [key for key in ("export", "gate", "register", "golden") if settings[key] and key != alone]
        if settings[alone]:
            problems += [f"{alone}: stands alone, without {key}" for key in others]
    pairs = settings["pairs"]
    if pairs is not None and (type(pairs) is not int or pairs < 1):
        problems.append(f"pairs={pairs}: must be a number of questions, at least 1")
    return problems


def _check_speed(settings: CommandLine) -> list[str]:
    """What is wrong with the settings speed and price of a command line, one line each."""
    speed, price = settings["speed"], settings["price"]
    problems = [] if speed in (None, True, False) else [f"speed={speed}: must be true or false"]
    if price is None:
        return problems
    if not isinstance(price, int | float) or price <= 0:
        problems.append(f"price={price}: must be a number above 0, what an hour of this machine costs")
    elif not speed:
        problems.append("price: is for speed=true")
    return problems


def _check_variants(names: list[str]) -> list[str]:
    """What is wrong with the names of variants, one line each."""
    invalid = [name for name in names if not VARIANT.fullmatch(str(name))]
    return [f"variants: unknown {name!r}; valid are {VARIANT_NAMES}" for name in invalid]
