"""Files that are no text are called what they are."""

import gzip
import importlib.util
import io
import sys
import zipfile

import pytest

from dream_keras.common.errors import UserError
from dream_keras.data.text import open_text


def archive(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            # Without a time of its own, so that every process makes the same bytes.
            file.writestr(zipfile.ZipInfo(name), "ACGT\t1\n" * 50)
    return content.getvalue()


EXCEL = archive("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (EXCEL, "is an Excel workbook (xlsx), not text. Save the sheet as CSV"),
        (archive("docProps/app.xml", "xl/workbook.xml"), "is an Excel workbook (xlsx)"),
        (archive("train.txt"), "is a zip archive. Unpack it"),
        (archive("train.txt")[:40], "is a zip archive. Unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook, not text"),
        (b"BZh91AY", "is a bzip2 file, not text"),
        (b"\xfd7zXZ\0", "is an xz file"),
        (b"\x28\xb5\x2f\xfd0", "is a Zstandard file"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (gzip.compress(EXCEL, mtime=0), "is an Excel workbook (xlsx)"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, content, said):
    (tmp_path / "own").write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_text(tmp_path / "own")
    assert f"{tmp_path / 'own'} {said}" in str(caught.value)


def test_a_workbook_on_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EXCEL)))
    with pytest.raises(UserError, match="is an Excel workbook"):
        open_text("-")


def test_parquet_without_pyarrow_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "own").write_bytes(b"PAR1 PAR1")
    with pytest.raises(UserError, match=r"is a Parquet file, which needs pyarrow.*pip install"):
        open_text(tmp_path / "own").read()


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="needs pyarrow")
def test_parquet_is_read_as_a_table(tmp_path):
    import pandas as pd

    from dream_keras.data.table import read_chunks

    values = [0.1 * n if n % 7 else None for n in range(200_000)]
    frame = pd.DataFrame({"name": 'a "b",\nc', "seq": "ACGT", "y": values})
    frame.to_parquet(tmp_path / "own", row_group_size=70_000)
    chunks = list(read_chunks(tmp_path / "own"))
    assert [v for c in chunks for v in c.values[:, 0].tolist()] == [v for v in values if v]
    (tmp_path / "damaged").write_bytes((tmp_path / "own").read_bytes()[:1000])
    with pytest.raises(UserError, match="this Parquet file cannot be read"):
        list(read_chunks(tmp_path / "damaged"))
