"""Documents in each form of text, and lines that break the form."""

import pytest

from src.data.corpus.documents import BadLines, document_lines
from src.data.corpus.files import find_corpus_files
from src.data.corpus.lines import Span, divide
from src.errors import UserError

WIKITEXT = (
    " \n = Lobster = \n \n It is blue . \n = = Life = = \n \n It eats . \n \n = Crab = \n \n It is red . \n"
)
DOCS = """<doc id="1" url="x" title="A">
A

One &lt; two &amp; three.

Next.
</doc>
<doc id="2" title="empty">
</doc>
<doc id="3">
B
</doc>
"""


def documents(path, text, form="auto", bad_lines=None):
    """The lines of each document, stripped."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file = find_corpus_files(path, form)[0]
    found = {}
    for key, line, _ in document_lines(file, Span(0, 0, file.size), bad_lines or BadLines()):
        found.setdefault(key, []).append(line.strip())
    return list(found.values())


def test_plain_text(tmp_path):
    text = "\ufeffone.\ntwo.\r\n \n\n\nthree.\n\t\nfour.\u2028still four."
    assert documents(tmp_path / "a", text) == [["one.", "two."], ["three."], ["four.\u2028still four."]]


def test_wikitext(tmp_path):
    assert documents(tmp_path / "a", WIKITEXT) == [
        ["Lobster", "It is blue .", "Life", "It eats ."],
        ["Crab", "It is red ."],
    ]


def test_a_formula_in_a_paragraph_is_not_a_title(tmp_path):
    assert len(documents(tmp_path / "a", " = A = \n \n x \n = 5 + 5 = \n y \n")) == 1


def test_doc_blocks(tmp_path):
    assert documents(tmp_path / "a", DOCS) == [["A", "One < two & three.", "Next."], ["B"]]


def test_json_lines(tmp_path):
    text = '{"id": "1", "text": "A\\n\\nOne &amp; two."}\n\n{"text": ""}\n{"text": "\u4e2d\\u6587"}'
    assert documents(tmp_path / "a", text) == [["A", "One & two."], ["\u4e2d\u6587"]]


BAD = {
    "utf-8": (b"good\nb\xffd\nlast\n", "plain", r"line 2: not UTF-8 \(byte 2\)", 2),
    "json": ('{"text": "a"}\n{"text": \n{"text": "b"}', "auto", "line 2: not valid JSON", 2),
    "half": ('{"text": "a"}\n{"text": "b \\ud83d"}\n', "auto", 'line 2: "text" contains a lone', 1),
    "no text": (
        '{"text": "a"}\n\n{"title": "b"}\n["x"]\n{"text": 5}',
        "auto",
        'line 3: not a JSON object with a string "text"',
        1,
    ),
    "outside": (DOCS + "stray\n", "auto", "line 13: text outside of a <doc> block", 2),
    "nested": ('<doc id="1">\na\n<doc id="2">\nb\n</doc>\n', "auto", "line 3: a <doc> block begins", 2),
    "torn": (DOCS + '<doc id="4">\nlost\n', "auto", "line 13: this <doc> block has no </doc>", 3),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lines(tmp_path, case):
    text, form, message, kept = BAD[case]
    with pytest.raises(UserError, match=f"text.txt, {message}.*--on_bad_line skip"):
        documents(tmp_path / "text.txt", text, form)
    skipping = BadLines("skip")
    assert len(documents(tmp_path / "text.txt", text, form, skipping)) == (kept if case != "utf-8" else 1)
    assert skipping.count >= 1 and skipping.listed[0]["file"] == "text.txt"


def test_line_numbers_of_errors(tmp_path):
    lines = [f'{{"text": "{i}"}}' for i in range(1000)]
    lines[900] = "{"
    (tmp_path / "a").write_text("\n".join(lines))
    files = find_corpus_files(tmp_path / "a")
    (span,) = divide(files, 4)[3]
    with pytest.raises(UserError, match="line 901: not valid JSON"):
        list(document_lines(files[0], span, BadLines()))


def test_offsets_grow_to_the_end(tmp_path):
    (tmp_path / "a").write_text(WIKITEXT)
    (file,) = find_corpus_files(tmp_path / "a")
    places = [place for *_, place in document_lines(file, Span(0, 0, file.size), BadLines())]
    assert places == sorted(places) and places[-1] == file.size
