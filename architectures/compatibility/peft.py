"""PEFT's optional imports."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_bitsandbytes() -> Iterator[None]:
    """Within it PEFT takes bitsandbytes, whose import takes over a second, to be missing.

    Where the base is in 4 bits bitsandbytes has been imported, and nothing changes.
    """
    name = "bitsandbytes"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as documented: its import raises ImportError
    try:
        yield
    finally:
        del sys.modules[name]
        from peft import import_utils

        for remembered in (import_utils.is_bnb_available, import_utils.is_bnb_4bit_available):
            remembered.cache_clear()
