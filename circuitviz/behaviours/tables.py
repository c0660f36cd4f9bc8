"""Tables of text from files that people have: JSON, JSONL, CSV and Parquet; files to fill in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

from circuitviz.errors import PromptFileError
from circuitviz.files import PROJECT

# More than any behaviour needs; a file of this size is read in about a second.
MAX_BYTES = 64 * 2**20
MAX_ROWS = 50_000

FILE_TYPES = ("json", "jsonl", "csv", "parquet")
_ENDINGS = ".json, .jsonl, .csv or .parquet"
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
# A key under which some files keep their list of rows.
WRAPPERS = ("results", "data", "rows")
# The column of a plain list of texts.
ONLY_COLUMN = "prompt"

# Files to fill in, by name.  Each holds a few rows of the many that are needed.
TEMPLATES = {
    name: PROJECT / "assets" / "templates" / file
    for name, file in {
        "backdoor-prompts": "backdoor-prompts.csv",
        "backdoor-answers": "backdoor-answers.csv",
        "refusal-prompts": "refusal-prompts.csv",
        "refusal-answers": "refusal-answers.csv",
        "complete": "prompts.jsonl",
        "safeseek-backdoor": "safeseek-backdoor.json",
        "safeseek-refusal": "safeseek-refusal.json",
    }.items()
}


@dataclass(frozen=True)
class Table:
    """Rows of text under named columns.

    Attributes:
        name: The file's name, for messages.
        columns: The columns, in the order of the file.
        rows: Every row has every column; a cell that is missing or null is "".
        numbers: The number of each row as the file counts it, from 1: the line of a JSONL file,
            the place in a JSON list or Parquet file, and in CSV the row of a spreadsheet, where
            the header is row 1.
        not_text: What is in cells that are no text, such as "a list", by (row index, column).
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    numbers: tuple[int, ...]
    not_text: Mapping[tuple[int, str], str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


Numbered = tuple[int, Mapping[str, Any]]


def read_table(path: Path) -> Table:
    """Read a file; its ending says what it is.

    Raises:
        PromptFileError: The file is missing, too large, of another type, empty or malformed.
    """
    try:
        if path.is_dir():
            raise PromptFileError(f"{path} is a folder; give a file: {_ENDINGS}")
        _check_bytes(path.name, path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise PromptFileError(f"cannot read the file {path}: {error.strerror or error}") from error
    return parse_table(path.name, data)


def parse_table(name: str, data: bytes) -> Table:
    """Read a file's content, as an upload brings it.

    Args:
        name: The file's name; its ending says what it is.
        data: What is in it.

    Raises:
        PromptFileError: It is too large, of another type, empty or malformed.
    """
    _check_bytes(name, len(data))
    reader = READERS.get(Path(name).suffix.lower())
    if reader is None:
        raise PromptFileError(f"{name}: cannot tell what file this is; give {_ENDINGS}")
    if not data.strip():
        raise PromptFileError(f"{name} is empty; expected rows of prompts")
    rows = reader(name, data)
    if not rows:
        raise PromptFileError(f"{name} has no rows; expected one prompt a row")
    _check_rows(name, len(rows))
    return _table(name, rows)


def _check_bytes(name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise PromptFileError(
            f"{name} has {size / 2**20:.0f} MB; at most {MAX_BYTES / 2**20:.0f} MB can be read: "
            "give fewer rows"
        )


def _check_rows(name: str, count: int) -> None:
    if count > MAX_ROWS:
        raise PromptFileError(
            f"{name} has {count} rows; at most {MAX_ROWS} can be read: give fewer rows"
        )


def _table(name: str, rows: Sequence[Numbered]) -> Table:
    columns = tuple(dict.fromkeys(column for _, row in rows for column in row))
    for column in columns:
        text, odd = _text(column)
        if odd:
            raise PromptFileError(f"{name}: the column {text!r} holds {odd}; rename it")
    cells = [{column: _text(row.get(column)) for column in columns} for _, row in rows]
    return Table(
        name,
        columns,
        tuple({column: text for column, (text, _) in row.items()} for row in cells),
        tuple(number for number, _ in rows),
        {
            (i, column): odd
            for i, row in enumerate(cells)
            for column, (_, odd) in row.items()
            if odd
        },
    )


def _text(value: Any) -> tuple[str, str]:
    """A cell as text, and what else it is if it is none ("" for text)."""
    match value:
        case str():
            clean = value.encode(errors="replace").decode()
            return clean, "" if clean == value else "half of a Unicode character"
        case bool():
            return str(value).lower(), f"the truth value {str(value).lower()}"
        case None:
            return "", ""
        case float() if isnan(value):
            return "", ""
        # Whole numbers of a column with gaps come as floats.
        case int() | float():
            whole = isinstance(value, float) and value.is_integer()
            return str(int(value) if whole else value), ""
        case list() | tuple():
            return json.dumps(value, default=str), "a list"
        case dict():
            return json.dumps(value, default=str), "an object"
    return str(value), f"a value of type {type(value).__name__}"


def _decoded(name: str, data: bytes) -> str:
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise PromptFileError(
            f"{name}, line {row}: not UTF-8 text; save the file with the encoding UTF-8"
        ) from error


def _read_json(name: str, data: bytes) -> list[Numbered]:
    try:
        value = json.loads(_decoded(name, data))
    except (ValueError, RecursionError) as error:
        raise PromptFileError(f"{name}: not JSON ({_reason(error)})") from error
    if isinstance(value, dict):
        value = next((value[key] for key in WRAPPERS if isinstance(value.get(key), list)), value)
    if not isinstance(value, list):
        raise PromptFileError(
            f"{name}: expected a list of objects, or one under the key "
            f"{', '.join(WRAPPERS[:-1])} or {WRAPPERS[-1]}; got {_kind(value)}"
        )
    return [(number, _object(f"{name}, row {number}", row)) for number, row in enumerate(value, 1)]


def _read_jsonl(name: str, data: bytes) -> list[Numbered]:
    rows = []
    # Only at \n: other characters that end a line may stand in a JSON string.
    for number, line in enumerate(_decoded(name, data).split("\n"), 1):
        place = f"{name}, line {number}"
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = _reason(error).replace("line 1, ", "")
            raise PromptFileError(
                f"{place}: not JSON ({reason}); expected one object a line"
            ) from error
        rows.append((number, _object(place, value)))
    return rows


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, character {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


def _object(place: str, row: Any) -> Mapping[str, Any]:
    if isinstance(row, str):
        return {ONLY_COLUMN: row}
    if not isinstance(row, dict):
        raise PromptFileError(
            f'{place}: expected an object such as {{"prompt": "..."}}; got {_kind(row)}'
        )
    return row


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(list(value)[:4])}" if value else "an empty object"
    return "a list" if isinstance(value, list) else json.dumps(value)[:40]


def _read_csv(name: str, data: bytes) -> list[Numbered]:
    text = _decoded(name, data)
    if "\0" in text:
        raise PromptFileError(f"{name}: holds NUL characters, so it is no CSV file")
    # What cuts the header into most cells; a comma where nothing cuts it.
    first = text.lstrip()
    delimiter = max(DELIMITERS, key=lambda mark: len(next(_records(name, first, mark), (1, []))[1]))
    records = (
        (number, cells)
        for number, cells in _records(name, text, delimiter)
        if any(cell.strip() for cell in cells)
    )
    number, header = next(records, (1, []))
    if not header:
        return []
    columns = [cell.strip() for cell in header]
    # What pandas writes as the first column if it is not told otherwise: the row's number.
    columns[0] = columns[0] or "index"
    _check_header(f"{name}, row {number}", columns)
    rows = []
    for number, cells in records:
        if len(cells) != len(columns):
            raise PromptFileError(
                f"{name}, row {number}: {len(cells)} cells, but the header has {len(columns)} "
                f"({', '.join(columns)}); put cells that hold a {DELIMITERS[delimiter]} or a line "
                "break in double quotes"
            )
        rows.append((number, dict(zip(columns, cells, strict=True))))
    return rows


def _records(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    number = 1
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            yield number, cells
            number += 1
    except csv.Error as error:
        raise PromptFileError(
            f"{name}, row {number}: not CSV ({error}); a double quote inside a quoted cell is "
            "written twice"
        ) from error


def _check_header(place: str, columns: Sequence[str]) -> None:
    if "" in columns:
        raise PromptFileError(
            f"{place}: column {columns.index('') + 1} has no name; the first row names the columns"
        )
    repeated = [column for column in columns if columns.count(column) > 1]
    if repeated:
        raise PromptFileError(
            f"{place}: the column {repeated[0]!r} stands more than once; give each column a name "
            "of its own"
        )


def _read_parquet(name: str, data: bytes) -> list[Numbered]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        meta = file.metadata
        _check_rows(name, meta.num_rows)
        # What is small in the file may be huge once unpacked.
        groups = range(meta.num_row_groups)
        _check_bytes(name, sum(meta.row_group(group).total_byte_size for group in groups))
        rows = file.read().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).split("\n")[0].strip().rstrip(".")
        raise PromptFileError(f"{name}: not a Parquet file ({reason})") from error
    return list(enumerate(rows, 1))


READERS: dict[str, Callable[[str, bytes], list[Numbered]]] = {
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}
