"""events.jsonl: appended to, and read whatever it holds."""

from texsyn.runs import events


def silent(text: str) -> None:
    raise AssertionError(text)


def test_events_are_read_in_the_order_of_their_writing(tmp_path):
    path = tmp_path / "events.jsonl"
    assert events.read(path, 2) == ()
    for step in range(3):
        events.append(path, silent, event="step", step=step)
    assert [event["step"] for event in events.read(path, 2)] == [0, 1, 2]
    assert all(event["time"] > 1e9 for event in events.read(path, 2))


def test_half_a_line_of_a_killed_process_stays_a_line_of_its_own(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "step", "step": 1}\n{"event": "st')
    events.append(path, silent, event="start", step=1)
    assert [event["event"] for event in events.read(path, 2)] == ["step", "start"]


def test_lines_that_are_no_objects_are_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'5\n[]\nnull\n\xff\xfe\n{"event": "start"}\n' + b"[" * 100_000 + b"\n")
    assert events.read(path, 2) == ({"event": "start"},)


def test_a_disk_that_refuses_costs_a_warning(tmp_path):
    warnings = []
    events.append(tmp_path / "no folder" / "events.jsonl", warnings.append, event="start")
    assert warnings == ["events.jsonl cannot be written: No such file or directory"]
