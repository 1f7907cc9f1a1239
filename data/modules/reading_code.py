"""The source files that decide how a table is read: part of the digest of what is prepared from one."""

from data.catalogue import (
    cells,
    damaged,
    forms,
    json_forms,
    reading,
    sources,
    text_encodings,
    text_files,
    title_lines,
)
from data.files import source_files

READING_CODE = source_files(
    reading, text_files, title_lines, text_encodings, json_forms, damaged, cells, forms, sources
)
