"""The stages of CI: real makefiles whose targets pass, fail, lack something, wait for one another, and leave processes behind."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stages
from stages import Outcome, Record, Runner, Stage

REPORT = "===== 2 passed, 1 skipped in 0.10s ====="


def run(folder: Path, makefile: str, *table: Stage, cold: bool = False, record: Record | None = None) -> dict[str, Outcome]:
    (folder / "Makefile").write_text(makefile)
    runner = Runner(folder, table, cold=cold, record=record)
    runner.run()
    return runner.outcomes


def verdicts(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.verdict for name, outcome in outcomes.items()}


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_wait_for_each_other_and_so_run_side_by_side(tmp_path: Path) -> None:
    wait = "\ttouch $@; until [ -e %s ]; do sleep 0.05; done; echo of $@\n"
    outcomes = run(tmp_path, "a:\n" + wait % "b" + "b:\n" + wait % "a", Stage("a", 1, 1), Stage("b", 1, 1))
    assert verdicts(outcomes) == {"a": "passed", "b": "passed"}
    assert (outcomes["a"].log.splitlines()[-1], outcomes["b"].log.splitlines()[-1]) == ("of a", "of b")


def test_one_waits_for_what_it_comes_after(tmp_path: Path) -> None:
    outcomes = run(tmp_path, "a:\n\tsleep 0.2; touch done\nb:\n\ttest -e done\n", Stage("b", 1, 1, ("a", "not chosen")), Stage("a", 1, 1))
    assert verdicts(outcomes) == {"a": "passed", "b": "passed"}


def test_a_failure_ends_the_others_with_all_that_they_started(tmp_path: Path) -> None:
    # One of the other's processes is in a session of its own, and one does not listen to SIGTERM.
    makefile = """
a:
\tsetsid sh -c 'echo $$$$ >apart; sleep 300' & sh -c 'trap "" TERM; echo $$$$ >deaf; while :; do sleep 300; done' & wait
b:
\tuntil [ -s apart ] && [ -s deaf ]; do sleep 0.05; done; false
"""
    clean = (sys.executable, "-c", f"open({str(tmp_path / 'cleaned')!r}, 'w')")
    (ends_within, stages.ENDS_WITHIN) = (stages.ENDS_WITHIN, 1)
    try:
        outcomes = run(tmp_path, makefile, Stage("a", 1, 1, clean=clean), Stage("b", 1, 1), Stage("c", 1, 1, ("a",)))
    finally:
        stages.ENDS_WITHIN = ends_within
    assert verdicts(outcomes) == {"a": "ended", "b": "FAILED", "c": "NOT RUN"}
    assert not any(is_there(int((tmp_path / name).read_text())) for name in ("apart", "deaf"))
    assert (tmp_path / "cleaned").exists()


def test_what_is_ended_may_clean_up(tmp_path: Path) -> None:
    makefile = """
a:
\ttrap 'sleep 0.3; touch cleaned; exit 143' TERM; touch started; sleep 300 & wait
b:
\tuntil [ -e started ]; do sleep 0.05; done; false
"""
    assert verdicts(run(tmp_path, makefile, Stage("a", 1, 1), Stage("b", 1, 1))) == {"a": "ended", "b": "FAILED"}
    assert (tmp_path / "cleaned").exists()


def test_a_stage_that_hangs_fails_and_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stages, "NOT_BEFORE", 0.01)
    outcomes = run(tmp_path, "a:\n\t@echo the last test; sleep 300\nb:\n\ttrue\n", Stage("a", 0.001, 1), Stage("b", 1, 1, ("a",)))
    assert verdicts(outcomes) == {"a": "FAILED", "b": "NOT RUN"}
    assert outcomes["a"].reason.startswith("it hangs: it was ended after 0:0")
    assert "the last test" in capsys.readouterr().out


LACKS = "parts:\n\t@echo 'NOT RUN: parts: hosts need root'; exit 3\nakko:\n\ttrue\nunit:\n\t@echo '" + REPORT + "'\n"
TABLE = (Stage("parts", 1, 1, builds=True), Stage("unit", 1, 1), Stage("akko", 1, 1, ("parts",)))


def test_what_did_not_run_closes_the_gate_unless_it_is_allowed(tmp_path: Path) -> None:
    outcomes = run(tmp_path, LACKS, *TABLE)
    assert verdicts(outcomes) == {"parts": "NOT RUN", "unit": "passed", "akko": "NOT RUN"}
    is_open, lines = stages.closing(TABLE, outcomes, [])
    hint = "The gate is closed, for not everything ran. ALLOW_NOT_RUN='akko' opens it."
    assert (is_open, lines) == (False, ["NOT RUN: AKKO (hosts need root)", hint, "2 passed, 0 failed, 2 skipped"])
    assert stages.closing(TABLE, outcomes, ["akko"]) == (True, [lines[0], lines[2]])


def test_parts_that_are_not_built_in_time_are_excused_on_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makefile = "parts:\n\tsleep 3\nakko unit:\n\ttrue\n"
    monkeypatch.setattr(stages, "PARTS_WITHIN", 0.01)
    assert verdicts(run(tmp_path, makefile, *TABLE)) == {"parts": "passed", "unit": "passed", "akko": "passed"}
    outcomes = run(tmp_path, makefile, *TABLE, cold=True)
    assert verdicts(outcomes) == {"parts": "NOT RUN", "unit": "passed", "akko": "NOT RUN"}
    is_open, lines = stages.closing(TABLE, outcomes, [])
    assert is_open
    assert lines[0].startswith("NOT RUN: AKKO (the cache was empty, and ")


def test_a_failed_stage_counts_where_no_test_of_it_failed() -> None:
    log = "== 3 failed, 4 passed, 2 errors in 1.00s ==\nsome - '=== 5 passed, 1 skipped in 70.12s (0:01:10) ==='\nNOT RUN: Skipping one\n"
    table = [Stage("unit", 1, 1), Stage("lint", 1, 1)]
    is_open, lines = stages.closing(table, {"unit": Outcome("FAILED", log=log), "lint": Outcome("FAILED")}, ["lint"])
    assert (is_open, lines) == (False, ["9 passed, 6 failed, 1 skipped"])
    assert stages.closing(table[:1], {"unit": Outcome("passed", log=log)}, [])[1][0] == "NOT RUN in UNIT: Skipping one"


def test_the_summary_names_budgets_and_who_is_over(tmp_path: Path) -> None:
    table = [Stage("unit", 1, 3), Stage("lint", 2, 3), Stage("akko", 1, 1)]
    outcomes = {"unit": Outcome("passed", 70.0, log=REPORT), "lint": Outcome("passed", 70.0, cpu=65.0)}
    outcomes["akko"] = Outcome("NOT RUN", reason="hosts need root")
    lines = [" ".join(line.split()) for line in stages.summary(table, outcomes, cold=False)]
    over, within = "unit passed in 1:10 of 1:00, OVER ITS BUDGET", "lint passed in 1:10 of 2:00, 1:05 of CPU"
    assert lines == [over, "2 passed, 1 skipped", within, "akko NOT RUN: hosts need root"]
    assert "OVER" not in "".join(stages.summary(table, outcomes, cold=True))


def test_a_record_goes_on_where_the_run_stopped(tmp_path: Path) -> None:
    record = Record(tmp_path / "build" / "all.tsv", "tree1", "abc")
    table = (Stage("setup", 1, 1, builds=True), Stage("a", 1, 1), Stage("b", 1, 1, ("a",)))
    makefile = f"setup:\n\techo x >>made\na:\n\t@echo x >>first; echo '{REPORT}'\nb:\n\ttest -e ready\n"
    assert verdicts(run(tmp_path, makefile, *table, record=record))["b"] == "FAILED"
    (tmp_path / "ready").touch()
    outcomes = run(tmp_path, makefile, *table, record=record)
    assert verdicts(outcomes) == dict.fromkeys(("setup", "a", "b"), "passed")
    assert re.fullmatch(r"passed before, at abc on [-0-9: ]+", outcomes["a"].reason)
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("made", "first")] == [2, 1]
    assert (tmp_path / "build" / "all.tsv").read_text().splitlines()[1].split("\t")[-3:] == ["2", "0", "1"]
    assert Record(record.path, "tree2", "abc").passed() == {}


def test_the_name_of_a_tree_tells_what_is_in_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    names = []
    for text in ("one", "two", "one"):
        (tmp_path / "file").write_text(text)
        names.append(stages.fingerprint(tmp_path))
    assert names[0] == names[2] != names[1]


def test_a_signal_ends_everything(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    program = tmp_path / ".ci" / "stages.py"
    program.write_text(Path(stages.__file__).read_text())
    (tmp_path / "Makefile").write_text("unit:\n\t@echo the last test; sh -c 'echo $$$$ >child; sleep 300'\nlint:\n\ttrue\n")
    with subprocess.Popen([sys.executable, str(program), "unit"], stdout=subprocess.PIPE, text=True) as process:
        child = tmp_path / "child"
        while not (child.exists() and child.read_text()):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "ends so:\nthe last test\n" in output
    assert output.splitlines()[-2:] == ["NOT RUN: UNIT (another stage failed, or the run was interrupted)", "0 passed, 0 failed, 1 skipped"]
    assert not is_there(int(child.read_text()))


def test_the_table_waits_for_known_stages_and_none_for_itself() -> None:
    for place, stage in enumerate(stages.STAGES.values()):
        earlier = list(stages.STAGES)[:place]
        assert set(stage.after) <= set(earlier), stage.name
    with pytest.raises(ValueError, match="there is no stage tests; there are setup, "):
        stages.chosen(["unit", "tests"])


def test_the_gate_fits_its_time() -> None:
    gate = re.search(r"^GATE := \$\(QUICK\) (.*)$", (stages.ROOT / "Makefile").read_text(), re.M)
    quick = re.search(r"^QUICK := (.*)$", (stages.ROOT / "Makefile").read_text(), re.M)
    assert gate
    assert quick
    chosen = stages.chosen([*quick[1].split(), *gate[1].split()])
    for minutes, most in (({stage.name: stage.warm for stage in chosen}, 35), ({stage.name: stage.cold for stage in chosen}, 80)):
        ends: dict[str, float] = {}
        for stage in chosen:
            ends[stage.name] = max((ends[name] for name in stage.after if name in ends), default=0) + minutes[stage.name]
        assert max(ends.values()) <= most
