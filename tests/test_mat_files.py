"""MATLAB files: what scipy reads is read the same, what is damaged ends in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pose.mat_files import read_mat, write_mat


def test_arrays_read_back(tmp_path):
    path = tmp_path / "new" / "a.mat"
    content = {"points": np.random.default_rng(0).random((3, 16, 2)), "none": np.zeros((0, 2))}
    write_mat(path, content)
    found = read_mat(path)
    assert list(found) == list(content) and list(path.parent.iterdir()) == [path]
    assert all(np.array_equal(found[name], content[name]) for name in content)


def test_a_suffix_is_not_added(tmp_path):
    write_mat(tmp_path / "a", {"x": np.ones((1, 1))})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert read_mat(tmp_path / "a")["x"].tolist() == [[1]]
    with pytest.raises(FileNotFoundError, match="b: no such file"):
        read_mat(tmp_path / "b")


V73 = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (V73, "is a MATLAB file of version 7.3 (HDF5), which is not read; save it with -v7"),
        (b"", "not a whole MATLAB file ("),
        (b"[1, 2]", "not a whole MATLAB file ("),
        (b"{" * 500, "not a whole MATLAB file ("),
        (bytes(range(256)) * 4, "not a whole MATLAB file ("),
    ],
)
def test_a_matlab_file_that_is_none_ends_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        read_mat(path)
    assert str(raised.value).startswith(f"{path}: {message}") and "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="is a folder, expected a MATLAB file"):
        read_mat(tmp_path)


@pytest.mark.parametrize("length", [4, 100, 130, 200, 1000, 3000])
def test_a_matlab_file_cut_short_or_changed_is_refused(tmp_path, length):
    path = tmp_path / "a.mat"
    write_mat(path, {"points": np.random.default_rng(0).random((30, 16, 2))})
    content = path.read_bytes()
    changed = bytearray(content)
    changed[max(length, 200)] ^= 255  # before that stand a remark and the byte order
    for damaged in (content[:length], bytes(changed)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a whole MATLAB file"):
            read_mat(path)


def struct_array(*rows):
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            array[0, i][name] = value
    return array


def cells(*values):
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


rng = np.random.default_rng(0)
VARIABLES = {
    "points": rng.random((3, 16, 2)),
    "single": rng.random((2, 3)).astype(np.float32),
    "kinds": cells(*(np.ones((2, 2), kind) for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8"))),
    "truths": rng.random((2, 2)) < 0.5,
    "none": np.zeros((0, 2)),
    "name": "größe 图",
    "rows": np.array(["ab", "cd", "ef"]),
    "empty": "",
    "people": struct_array({"x": 1.5, "id": 3, "name": "a.jpg"}, {"x": [], "id": 4, "name": "b"}),
    "deep": struct_array({"point": struct_array({"x": 1, "y": struct_array({"z": 2})})}),
}


def plain(value):
    """A value of either reader as lists and dicts."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, [plain(v) for v in value.ravel().tolist()]
    if hasattr(value, "__dict__"):
        return {k: plain(v) for k, v in vars(value).items() if k != "_fieldnames"}
    return value


def as_scipy_reads(data):
    content = loadmat(io.BytesIO(data), struct_as_record=False)
    return {k: plain(v) for k, v in content.items() if not k.startswith("__")}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", VARIABLES)
def test_every_kind_is_read_as_scipy_reads_it(tmp_path, name, compressed):
    path = tmp_path / "a.mat"
    savemat(path, {name: VARIABLES[name]}, do_compression=compressed)
    found = {key: plain(value) for key, value in read_mat(path).items()}
    assert found == as_scipy_reads(path.read_bytes())


def test_published_files_are_read_as_scipy_reads_them(test_data):
    path = test_data / "mpii/gt_valid.mat"
    assert {k: plain(v) for k, v in read_mat(path).items()} == as_scipy_reads(path.read_bytes())


def test_arrays_may_be_written_into(tmp_path):
    write_mat(tmp_path / "a.mat", {"x": np.ones((3, 2))})
    read_mat(tmp_path / "a.mat")["x"][0] = 7


@pytest.mark.parametrize("value", [1j * np.ones((2, 2)), np.ones((2, 2)) * (1 + 2j)])
def test_what_is_no_plain_value_is_refused(tmp_path, value):
    savemat(tmp_path / "a.mat", {"x": value})
    with pytest.raises(ValueError, match="x: neither real numbers, text, cells nor structs"):
        read_mat(tmp_path / "a.mat")


def test_sparse_matrices_are_refused(tmp_path):
    from scipy.sparse import eye

    savemat(tmp_path / "a.mat", {"x": eye(3).tocsc()})
    with pytest.raises(ValueError, match="x: neither real numbers, text, cells nor structs"):
        read_mat(tmp_path / "a.mat")


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(which, shape, *parts):
    flags = element(6, struct.pack("<II", which, 0))
    return element(14, flags + element(5, struct.pack(f"<{len(shape)}i", *shape)) + b"".join(parts))


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
NAME = element(1, b"x")
DEEP = matrix(6, (1, 1), NAME, element(9, bytes(8)))
for _ in range(200):
    DEEP = matrix(1, (1, 1), NAME, DEEP)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (matrix(1, (2**30, 2), NAME), "a matrix of (1073741824, 2) values"),
        (matrix(2, (40, 9), NAME, element(5, b"\1\0\0\0"), NAME), "a matrix of (40, 9) values"),
        (matrix(6, (-1, 1), NAME), "a matrix of (-1, 1) values"),
        (matrix(6, (), NAME), "a matrix of () values"),
        (matrix(6, (2, 2), NAME, element(9, bytes(24))), "24 bytes of kind 9 for (2, 2) numbers"),
        (matrix(6, (2, 2), NAME, element(14, bytes(32))), "32 bytes of kind 14 for (2, 2) numbers"),
        (matrix(4, (2, 2), NAME, element(4, b"abcd")), "2 characters for (2, 2)"),
        (matrix(2, (1, 1), NAME, element(5, bytes(4)), NAME), "names of fields have no length"),
        (matrix(17, (1, 1), NAME), "x: neither real numbers, text, cells nor structs"),
        (DEEP, "x: neither real numbers, text, cells nor structs"),
        (element(9, bytes(16)), "an element of kind 9 where a variable should be"),
        (struct.pack("<II", 15, 40) + zlib.compress(bytes(10**6))[:40], "cut"),
        (struct.pack("<II", 14, 10**6), "an element is cut"),
    ],
)
def test_lengths_are_held_against_what_is_there(tmp_path, content, message):
    (tmp_path / "a.mat").write_bytes(HEADER + content)
    with pytest.raises(ValueError) as raised:
        read_mat(tmp_path / "a.mat")
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pose.mat_files.MAX_BYTES", 10**5)
    packed = zlib.compress(bytes(10**6))
    (tmp_path / "a.mat").write_bytes(HEADER + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match="a variable is cut or too large"):
        read_mat(tmp_path / "a.mat")
