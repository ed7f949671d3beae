"""What a model says cannot control the terminal."""

from nanovllm_edu.cli.terminal import printable, quoted


def test_control_characters_are_written_out():
    assert printable("red \x1b[31m bell \x07 back \x08 del \x7f c1 \x9b") == (
        "red \\x1b[31m bell \\x07 back \\x08 del \\x7f c1 \\x9b"
    )


def test_text_of_any_script_and_line_breaks_stay():
    assert printable("Füße\n\t日本 🙂") == "Füße\n\t日本 🙂"


def test_quoted_is_one_line_of_bounded_length():
    assert quoted("a\nb\tc") == '"a\\nb\\tc"'
    assert len(quoted("x" * 100 + "end", 20)) <= 22
    assert quoted("x" * 100 + "end", 20).endswith('end"')
