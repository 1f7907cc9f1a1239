"""The digest of prepared questions covers all code that they depend on."""

import ast

from data.modules.retail_code import CODE, GROUNDING_CODE, RENDERING_CODE
from tests.conftest import ROOT
from tests.test_imports import module_names, run_nodes

CHANGES_NO_ROW = {
    "data/catalogue/partitions.py",  # in which pieces the rows are read
    "data/reports/charts.py",
    "data/scoring/lookups.py",  # which answers are sampled for the check
    "data/values.py",
}


def test_what_the_digest_covers_imports_nothing_of_data_that_it_does_not_cover() -> None:
    covered = {str(path.resolve().relative_to(ROOT)) for path in [*CODE, *GROUNDING_CODE, *RENDERING_CODE]}
    imported = set()
    for path in covered:
        for node in run_nodes(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = [name for name in module_names(node) if name.startswith("data.")]
            files = {f"{name.replace('.', '/')}.py" for name in names}
            imported |= {file for file in files if (ROOT / file).is_file()}
    assert imported - covered == CHANGES_NO_ROW
