"""What a program prints: messages as plain lines; libraries only when something is wrong."""

import logging
import os
import sys
import warnings

QUIET = ("bm25s", "httpx", "openai", "mlflow", "alembic", "lightning", "lightning.pytorch", "torch")


def configure_logging() -> None:
    """Log this project's messages as plain lines to standard error."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of a cast at every layer
    warnings.filterwarnings("ignore", module="lightning|torch|mlflow|peft")
