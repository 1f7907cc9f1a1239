"""Small pictures of products for cards, made of what `stage=images` has fetched."""

import base64
import logging
from io import BytesIO
from pathlib import Path

import polars as pl

from data.catalogue.images import MANIFEST_FILE

log = logging.getLogger(__name__)

SIDE = 240  # pixels of the longer side
QUALITY = 80  # of a JPEG


class ProductPictures:
    """The first picture of each product.

    Args:
        folder: that `stage=images` wrote, with a manifest of its own or one in the folder of each shard.
        Where there is none, no product has a picture.

    Raises ValueError if a manifest cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, str] = {}  # of a product's id
        for path in [folder / MANIFEST_FILE, *sorted(folder.glob(f"shard-*/{MANIFEST_FILE}"))]:
            if path.is_file():
                self.files |= _first_files(path)

    def thumbnail(self, product: str) -> str:
        """A small JPEG as a data address, which a page shows without asking for a file; empty if there is
        none.

        Args:
            product: its id.
        """
        if product not in self.files:
            return ""
        import fsspec
        from PIL import Image

        file = self.files[product]
        try:
            with fsspec.open(file, "rb") as opened, Image.open(opened) as picture:
                picture.thumbnail((SIDE, SIDE))
                small = BytesIO()
                picture.convert("RGB").save(small, "JPEG", quality=QUALITY)
        except (OSError, ValueError, SyntaxError, ImportError) as error:
            log.warning("%s is not shown: %s", file, str(error).splitlines()[0])
            return ""
        return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def _first_files(manifest: Path) -> dict[str, str]:
    """id of a product -> the file of its first picture."""
    file = pl.format("{}/{}", pl.col("target").str.strip_chars_end("/"), "file")
    try:
        table = pl.scan_parquet(manifest).filter(pl.col("status") == "ok").sort("place")
        found = table.group_by("id").agg(file.first()).collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{manifest}: cannot be read ({reason}); python train.py stage=images ... writes it anew"
        ) from None
    return dict(found.rows())
