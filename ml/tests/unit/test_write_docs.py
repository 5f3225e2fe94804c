import pytest

from ml.envs.hazards import HAZARD_KINDS, KIND_SHARES
from ml.scripts.write_docs import argument_table, environment_page, main, parse_args


def documented(first, *, second="two", third=3.0):
    """Do nothing.

    Args:
        first: What comes first.
        second: What comes second: ``two`` by default,
            on two lines.
        third: What comes third.

    Returns:
        third: not an argument.
    """


def test_argument_table_joins_signature_and_docstring():
    assert argument_table(documented) == [
        "| argument | default | meaning |",
        "|---|---|---|",
        "| `first` | required | What comes first. |",
        "| `second` | `'two'` | What comes second: `two` by default, on two lines. |",
        "| `third` | `3.0` | What comes third. |",
    ]


def test_argument_without_a_documented_meaning_has_an_empty_cell():
    assert argument_table(lambda alone=1: alone)[2] == "| `alone` | `1` |  |"


def test_page_shows_the_shares_that_the_hazards_are_drawn_with():
    page = environment_page()
    for kind in HAZARD_KINDS:
        train, evaluation = KIND_SHARES["train"][kind], KIND_SHARES["eval"][kind]
        assert f"| `{kind}` | {train:.0%} | {evaluation:.0%} |" in page


def test_page_tells_every_way_in_which_an_episode_ends():
    end = environment_page().split("## End of an episode")[1].split("##")[0]
    assert "touches the car ahead" in end
    for reason in ("`max_steps`", "end of its route", "another vehicle"):
        assert reason in end


def test_page_is_the_same_whenever_it_is_made():
    assert environment_page() == environment_page()


def test_page_ends_with_one_newline_and_has_no_trailing_whitespace():
    page = environment_page()
    assert page.endswith("|\n")
    assert all(line == line.rstrip() for line in page.splitlines())
    assert "\n\n\n" not in page


def test_page_is_printed_without_a_file(capsys):
    main([])
    assert capsys.readouterr().out == environment_page()


def test_page_is_written_to_the_named_file(tmp_path, capsys):
    main(["--output_page", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == environment_page()
    assert capsys.readouterr().out == ""


def test_file_in_a_missing_folder_is_refused_on_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--output_page", str(tmp_path / "missing" / "page.md")])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "--output_page must be in an existing folder" in error
