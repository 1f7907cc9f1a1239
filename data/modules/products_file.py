"""Where the products of a trained model lie, to look its answers up in."""

from pathlib import Path

from data.catalogue.versions import PRODUCTS
from data.values import Settings


def products_file(named: str | None, folder: Path, origin: Settings, base: str, cache: Path) -> Path:
    """The file of the products: as named, beside the model, or of its training data, made again if need be.

    Args:
        folder: of the model. origin: what the model was made of. base: its base, for the tokenizer. cache:
        folder for prepared data.

    Raises ValueError if the data would have to be written by a language model again.
    """
    if named or (folder / PRODUCTS).is_file():
        return Path(named or folder / PRODUCTS)
    from data.modules.retail import RetailData  # takes seconds to import

    settings, digest = origin["data"], origin["digest"]
    is_cached = (cache / f"questions-{digest}").is_dir()
    if not is_cached and settings["questions"]["source"] != "templates":
        raise ValueError("catalogue: the model's data is not in the cache; set catalogue=PRODUCTS.parquet")
    data = RetailData(settings | {"version": digest if is_cached else ""}, base, cache, origin["seed"])
    data.prepare_data()
    return data.folder / PRODUCTS
