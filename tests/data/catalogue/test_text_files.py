"""Text tables as people have them: encodings, separators, line ends and compressions are found and said."""

import gzip
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from data.catalogue.reading import read_table
from data.catalogue.text_files import TextForm, find_separator

WESTERN = "name,colour\nLámpara 1,rosé\nTür 2,weiß\n"


def rows(path: Path, form: TextForm | None = None) -> list[tuple[str | None, ...]]:
    frame, unread = read_table(path, form) if form else read_table(path)
    assert unread.is_empty()
    return frame.rows()


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", WESTERN),
        ("utf-8-sig", WESTERN),
        ("latin-1", WESTERN),
        ("cp1252", WESTERN),
        ("utf-16", WESTERN),
        ("utf-16-le", WESTERN),
        ("utf-16-be", WESTERN),
        ("utf-32", WESTERN),
        ("cp1251", "название,цвет\nЛампа настольная,красный\nСтол письменный,белый\n"),
        ("cp932", "名前,色\n赤いランプ,赤\n青い机,青\n"),
        ("gb18030", "名称,颜色\n红色台灯,红\n蓝色桌子,蓝\n"),
        ("cp1250", "nazwa,kolor\nŁóżko,żółty\nStół,biały śnieżny\n"),
        ("cp1250", "nazwa,kolor\nKoszula bawełniana,żółta\n"),
        ("cp1253", "όνομα,χρώμα\nΠουκάμισο ανδρικό,κόκκινο\nΠαντελόνι,μπλε\n"),
        # Few letters beyond ASCII, as a spreadsheet of western Europe has them.
        ("cp1252", "Uhr,Gehäuse\nDiver 200,Stahl\nModelo óptico,Leder 3 €\n"),
        ("cp1252", "name,care\nL’été shirt,30°C wash\n"),
        ("cp1252", "name,size\nShirt,½\n"),
    ],
)
def test_a_table_in_any_usual_encoding_is_read_with_its_letters(
    encoding: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    header, *lines = text.splitlines()
    frame, _ = read_table(path)
    assert frame.columns == header.split(",")
    assert rows(path) == [tuple(line.split(",")) for line in lines]


def test_a_guess_of_the_encoding_is_said_and_can_be_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "turkish.csv"
    path.write_bytes("isim\nIşık\n".encode("cp1254"))
    with caplog.at_level(logging.WARNING):
        read_table(path)
    assert "not UTF-8; read as" in caplog.text and "data.encoding=NAME" in caplog.text
    assert rows(path, TextForm("cp1254")) == [("Işık",)]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("klingon", "data.encoding=klingon: not known"), ("ascii", "is not in the encoding")],
)
def test_a_wrong_encoding_is_refused(encoding: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(WESTERN, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_table(path, TextForm(encoding))


def test_a_damaged_line_of_a_utf8_table_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    lines = [f"Lámpara {i},rosé".encode() for i in range(20)]
    lines[7] = b"L\xe1mpara 7,ros\xe9"
    path.write_bytes(b"\n".join([b"name,colour", *lines, b""]))
    frame, unread = read_table(path)
    assert frame.height == 19 and "\ufffd" not in "".join(frame["name"])
    assert unread.select("row", "reason").rows() == [(9, "bytes that are not UTF-8")]


def test_a_carriage_return_within_a_record_sets_that_record_aside(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"name,colour\nMug,red\nJug,bl\rue\nCup,green,?\nPot,grey\n")
    frame, unread = read_table(path)
    assert frame["name"].to_list() == ["Mug", "Pot"]
    assert unread["row"].to_list() == [3, 4]


def test_noise_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)) * 50)
    with pytest.raises(ValueError, match=r"noise\.csv is not in the encoding"):
        read_table(tmp_path / "noise.csv")


def test_a_header_that_cannot_be_taken_apart_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"na\rme,colour\nMug,red,?\nJug,blue\n")
    with pytest.raises(ValueError, match=r"cannot be read as a table: its first line"):
        read_table(tmp_path / "table.csv")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("stated", [True, False])
def test_a_separator_is_found_or_stated(separator: str, stated: bool, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    lines = [["sku", "title", "price"], ["A", "Mug, blue", "1,50"], ["B", "Jug", "2"]]
    text = "\n".join(separator.join(line) for line in lines)
    path.write_text(f"sep={separator}\n{text}\n" if stated else f"{text}\n")
    frame, _ = read_table(path)
    assert [frame.columns, *map(list, frame.rows())] == lines
    assert rows(path, TextForm(separator=separator)) == [tuple(line) for line in lines[1:]]


def test_a_comma_in_every_cell_makes_no_separator() -> None:
    assert find_separator("a;b\n1,5;2,5\n3,5;4,5\n") == ";"
    assert find_separator("a,b\n1;2,3\n") == ","
    assert find_separator("one column\nvalue, with a comma\n") == ","


def test_a_cell_of_any_length_does_not_hide_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f"a;b\n{'x' * 200_000};1\ny;2\n")
    assert rows(path) == [("x" * 200_000, "1"), ("y", "2")]


def test_old_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mac.csv"
    path.write_bytes(b"a,b\r1,2\r3,4\r")
    assert rows(path) == [("1", "2"), ("3", "4")]


def test_compressed_tables_are_read(tmp_path: Path) -> None:
    import pyarrow

    content = WESTERN.encode()
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(content))
    (tmp_path / "latin.csv.gz").write_bytes(gzip.compress(WESTERN.encode("cp1252")))
    with zipfile.ZipFile(tmp_path / "table.csv.zip", "w") as archive:
        archive.writestr("inner.csv", content)
        archive.writestr("__MACOSX/._inner.csv", b"x")
    with pyarrow.output_stream(str(tmp_path / "table.csv.zst"), compression="zstd") as file:
        file.write(content)
    tables = [rows(path) for path in sorted(tmp_path.iterdir())]
    assert len(tables) == 4
    assert all(table == [("Lámpara 1", "rosé"), ("Tür 2", "weiß")] for table in tables)


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    with pytest.raises(ValueError, match=r"holds 2 files \(a.csv, b.csv\); unpack it first"):
        read_table(tmp_path / "two.csv.zip")


def test_ragged_rows_beside_twin_and_nameless_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,a,,\n1,2,3,4\n5,6,7,8,9\n")
    frame, unread = read_table(path)
    assert frame.columns == ["a", "a_duplicated_0", "", "_duplicated_0"]
    assert frame.rows() == [("1", "2", "3", "4")]
    assert unread["reason"].to_list() == ["5 fields where the header has 4"]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_short_records_are_counted_and_said(
    compress: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / ("table.csv" if compress is bytes else "table.csv.gz")
    path.write_bytes(compress(b'a;b;c\n1;"2\n;";\n3;4\n5;6;7\n8\n'))
    with caplog.at_level(logging.WARNING):
        assert rows(path) == [("1", "2\n;", None), ("3", "4", None), ("5", "6", "7"), ("8", None, None)]
    (message,) = [record.getMessage() for record in caplog.records if "fewer fields" in record.getMessage()]
    assert "2 records have fewer fields than the header" in message
    assert "record 3" in message


def test_a_short_record_beside_a_huge_cell_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"a,b,c\n1,{'x' * 3_000_000},\n2,3\n")
    with caplog.at_level(logging.WARNING):
        assert [row[0] for row in rows(path)] == ["1", "2"]
    assert "1 records have fewer fields" in caplog.text and "record 3" in caplog.text


def test_empty_last_fields_are_no_short_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,\n,\n2,3\n")
    with caplog.at_level(logging.WARNING):
        assert rows(path) == [("1", None), (None, None), ("2", "3")]
    assert not caplog.records


def test_one_bad_line_of_json_is_set_aside_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    lines = [
        '\ufeff{"a": "x", "b": 1}',
        '{"a": "y", "b": NaN}',
        '{"a": "z',
        "[1]",
        "",
        '{"a": "q\0", "b": 2}',
    ]
    path.write_text("\n".join([*lines, '{"a": ["l", {"k": 1}], "b": "two"}']), encoding="utf-8")
    frame, unread = read_table(path)
    assert frame.rows() == [("x", "1"), ("y", None), ('["l", {"k": 1}]', "two")]
    assert unread["row"].to_list() == [3, 4, 6]
    assert unread["reason"][1] == "not a JSON object"


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]',
        '{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n',
        '{"products": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}',
    ],
)
def test_json_of_every_shape_gives_the_rows(text: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(text)
    assert read_table(tmp_path / "table.json")[0].rows() == [(1, "x"), (2, "y")]


def test_numbers_that_no_column_can_hold_become_text(tmp_path: Path) -> None:
    lines = [
        f'{{"name": "a", "code": {2**130}, "size": 1e999}}',
        '{"name": "half \\ud83d", "code": 1}',
        "{cut",
    ]
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join([*lines, '{"name": "b", "code": 1, "size": 2}']), encoding="utf-8")
    frame, unread = read_table(path)
    assert frame.rows() == [("a", str(2**130), "Infinity"), ("b", "1", "2")]
    assert unread["row"].to_list() == [2, 3]


def test_a_json_file_with_nan_gives_its_objects(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text('[{"a": NaN, "b": "x"}, {"a": 2.5, "b": "y"}, 7]')
    frame, unread = read_table(tmp_path / "table.json")
    assert frame.rows() == [(None, "x"), (2.5, "y")]
    assert unread["row"].to_list() == [3]
    (tmp_path / "other.json").write_text('{"a": NaN, "b": "x"}')
    with pytest.raises(
        ValueError, match=r"other\.json cannot be read as \.json: the object in it holds no table"
    ):
        read_table(tmp_path / "other.json")


def test_a_spreadsheet_is_read_as_text(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    frame = pl.DataFrame({"sku": ["01", "02"], "size": [40.0, 41.5], "name": ["Größe", None]})
    frame.write_excel(tmp_path / "table.xlsx")
    assert rows(tmp_path / "table.xlsx") == [("01", "40", "Größe"), ("02", "41.5", None)]
