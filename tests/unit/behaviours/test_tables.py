"""Tables: what is read from which file, and what is refused in which words."""

import io
import json
import re

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


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(PromptFileError) as error:
        parse_table(name, data)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "place", "words"),
    [
        ("t.txt", b"a", "", "cannot tell what file this is; give .json, .jsonl, .csv or .parquet"),
        ("t.json", b"[1" + b"0" * 5000 + b"]", "", "a number is too long"),
        ("t.json", b'[{"a\\ud800": 1}]', "", r"the column 'a\?' holds half of a Unicode"),
        ("t.json", b'[{"prompt" "a"}]', "", "Expecting ':' delimiter at line 1, character 12"),
        ("t.json", b"[" * 100_000, "", "nested too deeply"),
        ("t.json", b'{"prompts": []}', "", "results, data or rows; got an object with prompts"),
        ("t.json", b"3", "", "results, data or rows; got 3"),
        ("t.json", b'[{"prompt": "a"}, [1]]', ", row 2", "expected an object .* got a list"),
        (
            "t.jsonl",
            b'{"prompt": "a"}\n\n{"a": \n',
            ", line 3",
            r"\(Expecting value at character 7",
        ),
        ("t.jsonl", b"3", ", line 1", "expected an object .* got 3"),
        ("t.csv", b"prompt\nx\n\xff\n", ", line 3", "save the file with the encoding UTF-8"),
        (
            "t.csv",
            b"prompt,answer\na,1\nb,c,2\n",
            ", row 3",
            r"3 cells, but the header has 2 \(prompt, answer\); put cells that hold a comma",
        ),
        ("t.csv", b'prompt,answer\n"a"b,1\n', ", row 2", "',' expected after"),
        ("t.csv", b'prompt,answer\n"a,1\n', ", row 2", r"unexpected end of data\); a double"),
        ("t.csv", b"prompt,,answer\na,b,c\n", ", row 1", "column 2 has no name"),
        ("t.csv", b"prompt,prompt\na,b\n", ", row 1", "the column 'prompt' stands more than once"),
        ("t.csv", b"prompt\na\0\n", "", "holds NUL characters"),
        ("t.parquet", b"PAR1 and nothing else", "", r"not a Parquet file \(Parquet magic bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(name, data, place, words):
    assert re.match(f"{name}{place}: .*{words}", refusal(name, data))


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("t.csv", b" \n", "is empty"),
        ("t.csv", b"prompt\n", "has no rows"),
        ("t.csv", b",,\n,,\n", "has no rows"),
        ("t.csv", b"\xef\xbb\xbf", "has no rows"),
        ("t.json", b"[]", "has no rows"),
    ],
)
def test_a_file_without_rows_is_refused(name, data, what):
    assert refusal(name, data).startswith(f"{name} {what}; expected")


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
    assert refusal(f"t.{ending}", data).startswith(f"t.{ending} has 3 rows; at most 2 can be read")


def test_too_large_a_file_is_refused_before_it_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "MAX_BYTES", 2**20)
    (tmp_path / "t.csv").write_bytes(b"prompt\n" + b"a" * 2 * 2**20)
    monkeypatch.setattr("pathlib.Path.read_bytes", None)
    with pytest.raises(PromptFileError, match=r"^t.csv has 2 MB; at most 1 MB can be read"):
        read_table(tmp_path / "t.csv")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(monkeypatch):
    # Repeated text packs well in the file.
    data = parquet(pd.DataFrame({"prompt": [f"{row}" + "a" * 100_000 for row in range(30)]}))
    monkeypatch.setattr(tables, "MAX_BYTES", 2**20)
    assert len(data) < 2**20
    assert refusal("t.parquet", data).startswith("t.parquet has 3 MB")


def test_a_file_is_read_from_its_path(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"prompt,answer\na,1\nb,\n")
    assert read_table(tmp_path / "t.csv").rows == ROWS
    with pytest.raises(PromptFileError, match=r"no.csv: No such file or directory$"):
        read_table(tmp_path / "no.csv")
    with pytest.raises(PromptFileError, match="is a folder; give a file"):
        read_table(tmp_path)
