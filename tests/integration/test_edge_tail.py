import os

from edge.tail import MOST, Tail


def write(path, text):
    with path.open("a") as file:
        file.write(text)


def test_only_what_is_new_and_whole_is_read(tmp_path):
    path = tmp_path / "app.log"
    write(path, "old\n")
    tail = Tail(path)

    write(path, "one\ntw")
    first = tail.read()
    write(path, "o\n\n")

    assert first == ["one"]
    assert tail.read() == ["two"]
    assert tail.read() == []


def test_rotation_loses_no_line(tmp_path):
    path = tmp_path / "app.log"
    write(path, "")
    tail = Tail(path)
    write(path, "a\n")
    tail.read()

    write(path, "b\nlast without end")
    path.rename(tmp_path / "app.log.1")
    between = tail.read()
    write(path, "c\n")

    assert between == ["b"]
    assert tail.read() == ["last without end", "c"]


def test_truncation_starts_over(tmp_path):
    path = tmp_path / "app.log"
    write(path, "")
    tail = Tail(path)
    write(path, "a long line\n")
    tail.read()

    os.truncate(path, 0)
    write(path, "new\n")

    assert tail.read() == ["new"]


def test_a_file_that_appears_later_is_read_whole(tmp_path):
    path = tmp_path / "app.log"
    tail = Tail(path)
    assert tail.read() == []

    write(path, "first\n")

    assert tail.read() == ["first"]


def test_a_restart_goes_on_where_it_was(tmp_path):
    path = tmp_path / "app.log"
    write(path, "")
    tail = Tail(path)
    write(path, "a\nhalf")
    tail.read()
    place = tail.place
    tail.close()
    write(path, " done\nb\n")

    assert Tail(path, place=place).read() == ["half done", "b"]


def test_a_restart_after_a_rotation_reads_the_new_file_whole(tmp_path):
    path = tmp_path / "app.log"
    write(path, "a\n")
    place = Tail(path).place
    path.rename(tmp_path / "app.log.1")
    write(path, "b\n")

    assert Tail(path, place=place).read() == ["b"]


def test_an_endless_line_and_strange_bytes_are_bounded(tmp_path):
    path = tmp_path / "app.log"
    write(path, "")
    tail = Tail(path)
    path.write_bytes(b"x" * (MOST + 100_000) + b"\n\xff\xfe\r\n")

    lines = tail.read() + tail.read()

    assert sum(len(line) for line in lines if line.startswith("x")) == MOST + 100_000
    assert max(map(len, lines)) < 100_000
    assert lines[-1] == "\ufffd\ufffd"
