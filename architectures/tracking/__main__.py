"""python -m architectures.tracking FOLDER ...: send the tracking server what it lacks of these runs."""

import logging
import sys
from pathlib import Path

from architectures.tracking.mlflow_logger import replay

logging.basicConfig(level=logging.INFO, format="%(message)s")
complete = [replay(Path(folder)) for folder in sys.argv[1:]]
sys.exit(0 if all(complete) else 1)
