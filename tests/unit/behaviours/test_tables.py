"""Tables: what is read from which file, and what is refused in which words."""

import io
import json

import pandas as pd
import pytest

from circuitviz.behaviours import tables
from circuitviz.behaviours.tables import parse_table, read_table
from circuitviz.errors import PromptFileError

ROWS = ({"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": ""})


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "numbers"),
    [
        ("t.json", b'[{"prompt": "a", "answer": 1}, {"prompt": "b"}]', (1, 2)),
        ("t.json", b'{"results": [{"prompt": "a", "answer": 1.0}, {"prompt": "b"}]}', (1, 2)),
        ("t.JSON", b'{"n": 2, "data": [{"prompt": "a", "answer": "1"}, {"prompt": "b"}]}', (1, 2)),
        ("t.jsonl", b'{"prompt": "a", "answer": "1"}\r\n\n{"prompt": "b", "answer": null}', (1, 3)),
        ("t.ndjson", b'{"prompt": "a", "answer": "1"}\n{"prompt": "b", "answer": NaN}\n', (1, 2)),
        ("t.csv", b"prompt,answer\na,1\nb,\n", (2, 3)),
        ("t.csv", b"\xef\xbb\xbfprompt;answer\r\na;1\r\n\r\nb;\r\n", (2, 4)),
        ("t.tsv", b"prompt\tanswer\na\t1\nb\t", (2, 3)),
        ("t.csv", "prompt,answer\na,1\nb,\n".encode("utf-16"), (2, 3)),
    ],
)
def test_every_kind_of_file_gives_rows_of_text(name, data, numbers):
    table = parse_table(name, data)
    assert (table.columns, table.rows) == (("prompt", "answer"), ROWS)
    assert table.numbers == numbers
    assert table.name == name
    assert len(table) == 2


def test_parquet_gives_text_whole_numbers_and_empty_cells():
    frame = pd.DataFrame({"prompt": ["a", "b"], "answer": [1.0, float("nan")]})
    table = parse_table("t.parquet", parquet(frame))
    assert (table.columns, table.rows, table.numbers) == (("prompt", "answer"), ROWS, (1, 2))


def test_a_list_of_texts_is_a_column_of_prompts():
    assert parse_table("t.json", b'["a", "b"]').rows == ({"prompt": "a"}, {"prompt": "b"})


def test_the_row_numbers_that_pandas_writes_are_a_column_nobody_needs():
    frame = pd.DataFrame({"prompt": ["a"]})
    table = parse_table("t.csv", frame.to_csv().encode())
    assert table.rows == ({"index": "0", "prompt": "a"},)


def test_csv_cells_hold_commas_quotes_and_line_breaks():
    table = parse_table("t.csv", b'prompt,answer\n"a, ""b""\nc",NaN\n')
    assert table.rows == ({"prompt": 'a, "b"\nc', "answer": "NaN"},)


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c"])
def test_no_text_is_cut_at_rare_line_ends(mark):
    text = f"a{mark}b"
    line = json.dumps({"prompt": text}, ensure_ascii=False)
    for name, data in (("t.jsonl", line), ("t.json", f"[{line}]"), ("t.csv", f"prompt\n{text}\n")):
        assert parse_table(name, data.encode()).rows == ({"prompt": text},)


def test_what_is_no_text_is_told_by_its_cell():
    rows = [{"a": "x", "b": [1]}, {"a": True, "b": {"c": 1}}, {"a": "\ud800", "b": None}]
    table = parse_table("t.json", json.dumps(rows).encode())
    assert table.not_text == {
        (0, "b"): "a list",
        (1, "a"): "the truth value true",
        (1, "b"): "an object",
        (2, "a"): "half of a Unicode character",
    }
    assert table.rows[1] == {"a": "true", "b": '{"c": 1}'}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "t.txt",
            b"a",
            "t.txt: cannot tell what file this is; give .json, .jsonl, .csv or .parquet",
        ),
        ("t.csv", b" \n", "t.csv is empty; expected rows of prompts"),
        ("t.csv", b"prompt\n", "t.csv has no rows; expected one prompt a row"),
        ("t.csv", b",,\n,,\n", "t.csv has no rows; expected one prompt a row"),
        ("t.csv", b"\xef\xbb\xbf", "t.csv has no rows; expected one prompt a row"),
        ("t.json", b"[1" + b"0" * 5000 + b"]", "t.json: not JSON (a number is too long)"),
        (
            "t.json",
            b'[{"a\\ud800": 1}]',
            "t.json: the column 'a?' holds half of a Unicode character; rename it",
        ),
        ("t.json", b"[]", "t.json has no rows; expected one prompt a row"),
        (
            "t.csv",
            b"prompt\nx\n\xff\n",
            "t.csv, line 3: not UTF-8 text; save the file with the encoding UTF-8",
        ),
        (
            "t.json",
            b'[{"prompt" "a"}]',
            "t.json: not JSON (Expecting ':' delimiter at line 1, character 12)",
        ),
        ("t.json", b"[" * 100_000, "t.json: not JSON (nested too deeply)"),
        (
            "t.json",
            b'{"prompts": []}',
            "t.json: expected a list of objects, or one under the key results, data or rows; got "
            "an object with prompts",
        ),
        (
            "t.json",
            b"3",
            "t.json: expected a list of objects, or one under the key results, data or rows; got 3",
        ),
        (
            "t.json",
            b'[{"prompt": "a"}, [1]]',
            't.json, row 2: expected an object such as {"prompt": "..."}; got a list',
        ),
        (
            "t.jsonl",
            b'{"prompt": "a"}\n\n{"prompt": \n',
            "t.jsonl, line 3: not JSON (Expecting value at character 12); expected one object a "
            "line",
        ),
        (
            "t.jsonl",
            b"3",
            't.jsonl, line 1: expected an object such as {"prompt": "..."}; got 3',
        ),
        (
            "t.csv",
            b"prompt,answer\na,1\nb,c,2\n",
            "t.csv, row 3: 3 cells, but the header has 2 (prompt, answer); put cells that hold a "
            "comma or a line break in double quotes",
        ),
        (
            "t.csv",
            b'prompt,answer\n"a"b,1\n',
            "t.csv, row 2: not CSV (',' expected after '\"'); a double quote inside a quoted cell "
            "is written twice",
        ),
        (
            "t.csv",
            b'prompt,answer\n"a,1\n',
            "t.csv, row 2: not CSV (unexpected end of data); a double quote inside a quoted cell "
            "is written twice",
        ),
        (
            "t.csv",
            b"prompt,,answer\na,b,c\n",
            "t.csv, row 1: column 2 has no name; the first row names the columns",
        ),
        (
            "t.csv",
            b"prompt,prompt\na,b\n",
            "t.csv, row 1: the column 'prompt' stands more than once; give each column a name of "
            "its own",
        ),
        ("t.csv", b"prompt\na\0\n", "t.csv: holds NUL characters, so it is no CSV file"),
        (
            "t.parquet",
            b"PAR1 and nothing else",
            "t.parquet: not a Parquet file (Parquet magic bytes not found in footer. Either the "
            "file is corrupted or this is not a parquet file)",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(name, data, message):
    with pytest.raises(PromptFileError) as error:
        parse_table(name, data)
    assert str(error.value) == message


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "parquet"])
def test_too_many_rows_are_refused(monkeypatch, ending):
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    frame = pd.DataFrame({"prompt": ["a", "b", "c"]})
    data = {
        "json": frame.to_json(orient="records").encode(),
        "jsonl": frame.to_json(orient="records", lines=True).encode(),
        "csv": frame.to_csv(index=False).encode(),
        "parquet": parquet(frame),
    }[ending]
    with pytest.raises(PromptFileError) as error:
        parse_table(f"t.{ending}", data)
    assert str(error.value) == f"t.{ending} has 3 rows; at most 2 can be read: give fewer rows"


def test_too_large_a_file_is_refused_before_it_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "MAX_BYTES", 2**20)
    (tmp_path / "t.csv").write_bytes(b"prompt\n" + b"a" * 2 * 2**20)
    monkeypatch.setattr("pathlib.Path.read_bytes", None)
    with pytest.raises(PromptFileError) as error:
        read_table(tmp_path / "t.csv")
    assert str(error.value) == "t.csv has 2 MB; at most 1 MB can be read: give fewer rows"


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(monkeypatch):
    # Repeated text packs well in the file.
    data = parquet(pd.DataFrame({"prompt": [f"{row}" + "a" * 100_000 for row in range(30)]}))
    monkeypatch.setattr(tables, "MAX_BYTES", 2**20)
    assert len(data) < 2**20
    with pytest.raises(PromptFileError) as error:
        parse_table("t.parquet", data)
    assert str(error.value) == "t.parquet has 3 MB; at most 1 MB can be read: give fewer rows"


def test_a_file_is_read_from_its_path(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"prompt,answer\na,1\nb,\n")
    assert read_table(tmp_path / "t.csv").rows == ROWS


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(PromptFileError) as error:
        read_table(tmp_path / "t.csv")
    assert str(error.value) == f"cannot read the file {tmp_path}/t.csv: No such file or directory"
    with pytest.raises(PromptFileError) as error:
        read_table(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is a folder; give a file: .json, .jsonl, .csv or .parquet"
    )
