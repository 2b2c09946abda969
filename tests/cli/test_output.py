"""Progress off a terminal."""

from seamline.cli.shared import output


def test_progress_is_said_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(output, "LINE_EVERY_S", 0.0)
    assert list(output.track(range(3), 3, "counting")) == [0, 1, 2]
    assert capsys.readouterr().err == "counting: 1 of 3, about 0 s left\ncounting: 2 of 3, about 0 s left\n"
