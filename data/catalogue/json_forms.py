"""JSON files in which one object holds a whole table, as pandas and databases write them.

Columns as lists ({"name": ["a", "b"]}) or as objects with a number for each row ({"name": {"0": "a"}}); names
and rows apart ({"columns": ["name"], "data": [["a"], ["b"]]}); an object for each id ({"17": {"name": "a"}}).
"""

from data.values import JsonObject

NO_TABLE = "the object in it holds no table: write a list of objects, one for each row, or JSON lines"


def rows_in(content: JsonObject) -> list[JsonObject]:
    """The rows of an object in one of the forms above, in its order; [] for another one.

    Raises ValueError for rows of unequal length.
    """
    return _split_rows(content) or _rows_of_columns(content) or _rows_by_id(content)


def _split_rows(content: JsonObject) -> list[JsonObject]:
    """The rows of an object with the keys columns and data; [] for another one. Raises ValueError for a row
    that does not have a cell for each column.
    """
    names, data = content.get("columns"), content.get("data")
    if not isinstance(names, list) or not isinstance(data, list):
        return []
    for number, row in enumerate(data, 1):
        if not isinstance(row, list) or len(row) != len(names):
            raise ValueError(
                f"row {number} of its data is not a list of {len(names)} cells, one for each column"
            )
    return [dict(zip(map(str, names), row, strict=True)) for row in data]


def _rows_of_columns(content: JsonObject) -> list[JsonObject]:
    """The rows of an object with a list, or an object with numbers as its keys, for each column; [] for
    another one.
    """
    columns = list(content.values())
    if all(isinstance(column, list) for column in columns) and len(set(map(len, columns))) == 1:
        return [dict(zip(content, values, strict=True)) for values in zip(*columns, strict=True)]
    if not all(isinstance(column, dict) and all(map(str.isdigit, column)) for column in columns):
        return []
    numbers = sorted({number for column in columns for number in column}, key=int)
    rows = []
    for number in numbers:
        rows.append({name: column.get(number) for name, column in content.items()})
    return rows


def _rows_by_id(content: JsonObject) -> list[JsonObject]:
    """The rows of an object with an object for each id, which is their column id where they have none; [] for
    another one.
    """
    if not all(isinstance(row, dict) for row in content.values()):
        return []
    return [{"id": name} | row for name, row in content.items()]
