"""How a text table is written: its compression, encoding, line ends and separator, found from its bytes.

`plain_text` gives any such file as UTF-8 with Unix line ends; what it finds beyond that is logged.
"""

import codecs
import csv
import gzip
import io
import logging
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Self

from data.catalogue.text_encodings import likely_encoding
from data.catalogue.title_lines import lines_above_header
from data.values import Settings

log = logging.getLogger(__name__)
csv.field_size_limit(sys.maxsize)  # a cell may be of any length

COMPRESSIONS = (".gz", ".zip", ".zst")
SEPARATORS = (",", ";", "\t", "|")
SAMPLE_BYTES = 2**18  # from which the encoding's marks, the line ends and the separator are found
SAMPLE_RECORDS = 200
CHUNK_BYTES = 2**22
GUESS_BYTES = 2**16  # of lines that are not ASCII, from which an unmarked encoding is guessed
MAX_UNPACKED = 8 * 2**30  # bytes that a compressed file may become
MAX_COMPRESSION_RATIO = 1032  # of DEFLATE

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class TextForm:
    """Encoding and separator of a text table; '' for what is to be found."""

    encoding: str = ""
    separator: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the fields of the configuration group `data` say."""
        return cls(settings["encoding"], settings["separator"])


FOUND = TextForm()  # both are found


@dataclass(frozen=True)
class _PlainText:
    """A text table in UTF-8 at ``path``, which polars can read, and its separator."""

    path: Path
    separator: str


def kind_of(path: Path) -> str:
    """The last part of a file's name without the compression: csv, jsonl, ..."""
    name = path.name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name.rsplit(".", 1)[-1]


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file that may be compressed. Raises ValueError for a .zip that holds several files."""
    ending = path.suffix.lower()
    if ending == ".gz":
        with gzip.open(path) as file:
            yield file  # type: ignore[misc]  # a GzipFile reads as any binary file
    elif ending == ".zst":
        import pyarrow

        with pyarrow.input_stream(str(path), compression="zstd") as file:
            yield file
    elif ending == ".zip":
        with _open_zip(path) as archive:
            names = [one.filename for one in archive.infolist() if not _is_hidden(one)]
            if len(names) != 1:
                raise ValueError(
                    f"{path}: holds {len(names)} files ({', '.join(names[:5])}); unpack it first"
                )
            with archive.open(names[0]) as file:
                yield file
    else:
        with path.open("rb") as file:
            yield file


def _open_zip(path: Path) -> zipfile.ZipFile:
    """A .zip archive. Raises ValueError if it is damaged."""
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {error}") from None


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    """Whether a member of an archive is a folder, or what macOS adds."""
    return member.is_dir() or member.filename.startswith("__MACOSX/")


def _check_unpacked_size(path: Path) -> None:
    """Raises ValueError if a compressed file would unpack to more than memory should hold; EOFError if it is
    cut off.
    """
    if path.stat().st_size * MAX_COMPRESSION_RATIO <= MAX_UNPACKED:
        return
    unpacked = 0
    with open_unpacked(path) as file:
        while size := len(file.read(CHUNK_BYTES)):
            unpacked += size
            if unpacked > MAX_UNPACKED:
                raise ValueError(
                    f"{path}: unpacks to more than {MAX_UNPACKED:,} bytes; if that is what you expect,"
                    " unpack it first"
                )


@lru_cache
def _log_once(message: str) -> None:
    """Log what a run needs to say once, however often a file is opened."""
    log.info("%s", message)


@contextmanager
def plain_text(path: Path, form: TextForm) -> Iterator[_PlainText]:
    """A text table as polars reads it: the file itself where it is UTF-8 with Unix line ends, else a
    converted copy, which is deleted afterwards.

    Raises ValueError for an unknown encoding, or text that is not in the encoding given.
    """
    if path.suffix.lower() in COMPRESSIONS:
        _check_unpacked_size(path)
    state = path.stat()
    encoding = form.encoding or _find_encoding(path, (state.st_size, state.st_mtime_ns))
    _check_encoding(encoding)
    text = _read_sample(path).decode(encoding, errors="replace")
    has_old_line_ends = "\r" in text and "\n" not in text
    first_line = text.lstrip("\ufeff").split("\n", 1)[0].rstrip("\r")
    stated = first_line[4:] if first_line.lower().startswith("sep=") and len(first_line) == 5 else ""
    text = text.replace("\r", "\n") if has_old_line_ends else text
    body = text.split("\n", 1)[-1] if stated else text
    separator, above = ",", 0
    if kind_of(path) in ("csv", "tsv", "txt"):
        above = lines_above_header(body, [form.separator] if form.separator else SEPARATORS)
        if above:
            _log_once(f"{path}: the header is in line {above + 1}; what stands above it is left out")
            body = body.split("\n", above)[above]
        separator = form.separator or stated or find_separator(body)
        if separator != "," and not form.separator:
            _log_once(f"{path}: the fields are separated by {separator!r}")
    is_plain = encoding == "utf-8" and not has_old_line_ends and not stated and not above
    if is_plain and path.suffix.lower() != ".zip":
        yield _PlainText(path, separator)
        return
    with tempfile.TemporaryDirectory(prefix="strata-") as folder:
        copy = Path(folder) / f"table.{kind_of(path)}"
        convert(path, encoding, copy, above + bool(stated))
        yield _PlainText(copy, separator)


def convert(path: Path, encoding: str, copy: Path, skipped: int) -> None:
    """Write a file again in UTF-8 with Unix line ends, without its first ``skipped`` lines. Raises ValueError
    if it is not in ``encoding``.
    """
    with open_unpacked(path) as file, copy.open("w", encoding="utf-8", newline="") as out:
        reader = io.TextIOWrapper(file, encoding=encoding, newline=None)
        try:
            for _ in range(skipped):
                reader.readline()
            while text := reader.read(CHUNK_BYTES):
                out.write(text)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not in the encoding {encoding} ({error.reason} at byte {error.start} of a block):"
                " set data.encoding, as data.encoding=cp1252"
            ) from None


def _read_sample(path: Path) -> bytes:
    """The beginning of a file, unpacked."""
    with open_unpacked(path) as file:
        return file.read(SAMPLE_BYTES)


def _check_encoding(encoding: str) -> None:
    """Raises ValueError if Python does not know an encoding of text."""
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError(
            f"data.encoding={encoding}: not known; use one such as utf-8, cp1252 or utf-16"
        ) from None


@lru_cache  # what is found is logged once for each state of a file
def _find_encoding(path: Path, state: tuple[int, int]) -> str:
    """The encoding of a file: by its mark, by the zeros of UTF-16, else UTF-8; a guess where it is neither.

    A guess is logged. A file of UTF-8 with some damaged lines counts as UTF-8; the reader sets those aside.
    """
    sample = _read_sample(path)
    for mark, name in BYTE_ORDER_MARKS.items():
        if sample.startswith(mark):
            if name != "utf-8-sig":
                log.info("%s: read as %s", path, name)
            return name
    half = len(sample) // 2
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if half and sample[offset::2].count(0) > 0.8 * half:
            log.info("%s: read as %s", path, name)
            return name
    if _is_utf8(path):
        return "utf-8"
    return _guess_encoding(path)


def _is_utf8(path: Path) -> bool:
    """Whether all of a file is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_unpacked(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _guess_encoding(path: Path) -> str:
    """The likeliest encoding of a file that is not all UTF-8, by its lines beyond ASCII."""
    lines: list[bytes] = []
    valid = size = 0
    with open_unpacked(path) as file:
        for line in file:
            if size < GUESS_BYTES and not line.isascii():
                lines.append(line)
                size += len(line)
                valid += _is_valid(line)
    if valid > len(lines) / 2:
        return "utf-8"
    guess = likely_encoding(b"".join(lines))
    log.warning(
        "%s: not UTF-8; read as %s, a guess from its letters. If names look wrong, set data.encoding=NAME",
        path, guess,
    )  # fmt: skip
    return guess


def _is_valid(line: bytes) -> bool:
    """Whether a line is UTF-8."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def find_separator(text: str) -> str:
    """The separator with which most records have as many fields as the header, and the most fields."""
    best, most = ",", (0.0, 1)
    for separator in SEPARATORS:
        lines = io.StringIO(text, newline=None)  # a carriage return within a line ends it here, too
        rows = list(islice(csv.reader(lines, delimiter=separator), SAMPLE_RECORDS))
        rows = [row for row in rows[:-1] or rows if row]  # the last one may be cut off
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        even = Counter(map(len, rows))[width] / len(rows)
        if (round(even, 1), width) > most:
            best, most = separator, (round(even, 1), width)
    return best
