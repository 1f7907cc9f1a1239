"""What PyTorch needs to know except the data: tensors in, tensors or text out. Knows no catalogue."""

import logging

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of an optional CPU kernel on every import
