from circuitviz.files import PROJECT
from circuitviz.narrative.glossary import GLOSSARY, glossary_markdown

WORDS = (
    "unit head neuron gate circuit sparsity ablation asr utility recovery faithfulness "
    "completeness minimality frontier run intact control seed jaccard"
).split()
PHRASES = {
    "knock out",
    "isolate",
    "utility retention",
    "clean and triggered",
    "wilson interval",
    "random control",
}


def test_every_word_of_the_pages_is_explained_once():
    listed = [word.lower() for words in GLOSSARY.values() for word in words]
    assert len(listed) == len(set(listed))
    assert {*WORDS, *PHRASES} <= set(listed)


def test_the_document_says_the_same():
    written = (PROJECT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert written == glossary_markdown()


def test_every_text_is_a_sentence():
    texts = [text for words in GLOSSARY.values() for text in words.values()]
    assert all(text.endswith(".") and "  " not in text for text in texts)
