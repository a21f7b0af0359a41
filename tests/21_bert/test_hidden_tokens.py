"""The tokenizer, the pairs, and what is masked."""

import pytest
import torch

from autograder.checking import assert_close, assert_unchanged, fail

# Characters that a tokenizer stumbles over, in groups of which each line draws.
LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
AWKWARD = [
    *("é", "É", "ü", "Ñ", "ç", "Å", "ø", "ß", "İ", "ǅ", "e\u0301", "o\u0308", "\u0301", "ậ", "ﬁ", "ŉ"),
    *(
        "α",
        "Ω",
        "й",
        "Ж",
        "א",
        "ش",
        "अ",
        "한",
        "ㄱ",
        "あ",
        "ツ",
        "中",
        "文",
        "\u3400",
        "\U00020000",
        "\uf900",
    ),
    *("!", '"', "$", "%", "&", "'", "(", "*", "+", ",", "-", ".", "/", ":", ";", "<", "=", ">", "?", "@"),
    *(
        "[",
        "\\",
        "]",
        "^",
        "_",
        "`",
        "{",
        "|",
        "}",
        "~",
        "«",
        "»",
        "…",
        "–",
        "—",
        "’",
        "“",
        "¿",
        "。",
        "、",
        "€",
        "£",
    ),
    *("\t", "\n", "\r", "\u00a0", "\u2003", "\u3000", "\u200b", "\u200d", "\u00ad", "\ufeff", "\x00", "\x07"),
    *(
        "\x1b",
        "\x7f",
        "\u0085",
        "\ufffd",
        "\ue000",
        "\u202e",
        "½",
        "²",
        "№",
        "°",
        "×",
        "😀",
        "\U0001f468",
        "\u2028",
    ),
]


def awkward_line(rng):
    """Up to 40 characters, some of them awkward."""
    size = int(rng.integers(0, 40))
    choices = [
        AWKWARD if rng.random() < 0.4 else LETTERS if rng.random() < 0.8 else [" "] for _ in range(size)
    ]
    return "".join(str(pool[rng.integers(len(pool))]) for pool in choices)


def same_words(student, reference, text, hint=""):
    got = student.basic_tokenize(text)
    assert_close(got, reference.basic_tokenize(text), what=f"the words of {text!r}", hint=hint)


@pytest.mark.question("basic_tokenize", weight=3)
def test_basic_tokenize_awkward_lines(student, reference, rng):
    """300 awkward lines are cut as the published tokenizer cuts them."""
    for _ in range(300):
        same_words(student, reference, awkward_line(rng))


@pytest.mark.question("basic_tokenize")
def test_basic_tokenize_spaces(student, reference):
    """White space of every kind separates words, and leaves no empty ones."""
    for text in ("", "   ", "a  b", " a\tb\nc\r\nd ", "x\u00a0y\u2003z\u3000w", "a\u2028b"):
        same_words(student, reference, text, "Tab, newline, carriage return and category Zs are white space.")


@pytest.mark.question("basic_tokenize")
def test_basic_tokenize_control_characters(student, reference):
    """Control characters, the characters 0 and U+FFFD vanish, without separating words."""
    for text in ("a\x00b", "a\ufffdb", "a\u200bb c\u00add", "\ufeffword", "x\x07\x1by", "a\ue000b", "a\x85b"):
        same_words(
            student, reference, text, "Categories that begin with C are removed, not replaced by a blank."
        )


@pytest.mark.question("basic_tokenize")
def test_basic_tokenize_case_and_accents(student, reference):
    """Everything is in lower case, and accents are gone."""
    for text in ("Résumé Über ÅNGSTRÖM", "İstanbul", "e\u0301a\u0308", "naïve Ñandú", "Ω Ж ß", "한국 ậ", "ǅ"):
        same_words(student, reference, text, 'Lower case, then NFD, then without the category "Mn".')


@pytest.mark.question("basic_tokenize")
def test_basic_tokenize_punctuation(student, reference):
    """Each punctuation mark is a word, ASCII symbols included, other symbols not."""
    for text in ("it's $5.00!!", "a_b-c~d^e`f|g", "«oui» – …", "50€ and 3°", "(x+y)=z", "¿qué? 。"):
        same_words(
            student, reference, text, "Category P, and all of ASCII that is no letter, digit or blank."
        )


@pytest.mark.question("basic_tokenize")
def test_basic_tokenize_chinese(student, reference):
    """Each Chinese character is a word; kana and hangul are not cut."""
    text = "ab中文cd\u3400x\U00020000y\uf900z"
    for line in (text, "日本語のテキスト", "한국어 텍스트", "\u9fff\u4dbf\ufaff\U0002fa1f\U0002b820"):
        same_words(student, reference, line, "Blanks around each character of CJK_RANGES, ends included.")


PIECES = [
    "un",
    "##aff",
    "##able",
    "a",
    "##a",
    "##b",
    "aa",
    "##aab",
    "b",
    "ab",
    "##ab",
    "##bc",
    "want",
    "##want",
    "##ed",
    "runn",
    "##ing",
]


def vocabulary_of(pieces):
    return {
        piece: number for number, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])
    }


@pytest.mark.question("wordpiece", weight=2)
def test_wordpiece_longest_match(student, reference, rng):
    """The longest piece that fits is taken, again and again, even where a shorter one would go on better."""
    vocabulary = vocabulary_of(PIECES)
    words = [
        "unaffable",
        "unwanted",
        "wanted",
        "running",
        "aab",
        "aaab",
        "aaaab",
        "baab",
        "ab",
        "b",
        "aaa",
        "abc",
        "babc",
    ]
    words += ["".join(rng.choice(list("ab"), size=rng.integers(1, 9))) for _ in range(40)]
    for word in words:
        got = student.wordpiece(word, vocabulary)
        hint = "From the left, the longest piece first; later pieces begin with ##."
        assert_close(got, reference.wordpiece(word, vocabulary), what=f"the pieces of {word!r}", hint=hint)


@pytest.mark.question("wordpiece")
def test_wordpiece_unknown(student, reference):
    """A word of which some part fits no piece is unknown as a whole."""
    vocabulary = vocabulary_of(PIECES)
    for word in ("unwantedX", "Xun", "unXed", "c", "affable", "##a", "ed"):
        got = student.wordpiece(word, vocabulary)
        assert_close(got, reference.wordpiece(word, vocabulary), what=f"the pieces of {word!r}")
    assert_close(student.wordpiece("xyz", vocabulary, unknown="<?>"), ["<?>"], what='with unknown="<?>"')


@pytest.mark.question("wordpiece")
def test_wordpiece_long_words(student):
    """A word of more than max_characters is unknown, one of just as many is not."""
    vocabulary = vocabulary_of(PIECES)
    for length, limit in ((100, 100), (101, 100), (3, 3), (4, 3)):
        expected = ["[UNK]"] if length > limit else ["b", *["##b"] * (length - 1)]
        got = student.wordpiece("b" * length, vocabulary, max_characters=limit)
        assert_close(got, expected, what=f"the pieces of {length} characters, max_characters = {limit}")
    assert_close(student.wordpiece("b" * 101, vocabulary), ["[UNK]"], what="the pieces of 101 characters")


def draw_pieces(rng, count):
    return [f"w{i}" for i in rng.integers(0, 9, size=count)]


VOCABULARY = {
    "w0": 0,
    "[CLS]": 7,
    "w1": 1,
    "[PAD]": 3,
    "w2": 4,
    "[SEP]": 5,
    "w3": 6,
    "[UNK]": 2,
    "w4": 8,
    "w5": 9,
}


def check_pair(student, reference, first, second, max_length, hint=""):
    got = assert_unchanged(student.encode_pair, first, second, VOCABULARY, max_length)
    if not isinstance(got, tuple | list) or len(got) != 2:
        fail("encode_pair should return two values, tokens and segments.", value=got)
    tokens, segments = reference.encode_pair(first, second, VOCABULARY, max_length)
    b = "no B" if second is None else f"{len(second)} in B"
    where = f"for {len(first)} pieces in A, {b}, max_length = {max_length}"
    assert_close(list(got[0]), tokens, what=f"the tokens {where}", hint=hint)
    assert_close(list(got[1]), segments, what=f"the segments {where}", hint=hint)


@pytest.mark.question("encode_pair", weight=2)
def test_encode_pair_with_room(student, reference, rng):
    """Pairs that fit: special tokens, segments, padding, and unknown pieces."""
    for a, b, length in ((2, 3, 12), (1, 1, 5), (4, 2, 9), (0, 2, 6), (3, 0, 8)):
        check_pair(student, reference, draw_pieces(rng, a), draw_pieces(rng, b), length)


@pytest.mark.question("encode_pair")
def test_encode_pair_single(student, reference, rng):
    """A single text has one [SEP] and segments of 0; it may be cut."""
    for a, length in ((3, 8), (6, 8), (7, 8), (12, 8), (0, 3)):
        check_pair(student, reference, draw_pieces(rng, a), None, length)


@pytest.mark.question("encode_pair", weight=2)
def test_encode_pair_truncation(student, reference, rng):
    """What is too long is cut from the end of the longer text, piece by piece."""
    hint = "Where both are equally long, B loses a piece."
    for a, b, length in ((9, 2, 10), (2, 9, 10), (6, 6, 10), (7, 6, 10), (6, 7, 9), (5, 5, 4), (20, 1, 7)):
        check_pair(student, reference, draw_pieces(rng, a), draw_pieces(rng, b), length, hint)


# --- masking
SPECIAL = (0, 1, 2, 3, 4)


def masked(student, tokens, num_tokens, **options):
    result = assert_unchanged(student.mask_tokens, tokens, num_tokens, **options)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("mask_tokens should return two values, hidden and labels.", value=result)
    for what, part in zip(("hidden", "labels"), result, strict=True):
        if not isinstance(part, torch.Tensor) or part.is_floating_point():
            fail(f"{what} should be a tensor of integers.", value=part)
        assert_close(tuple(part.shape), tuple(tokens.shape), what=f"the shape of {what}")
    return result


def texts(rng, N, T, V):
    """Random texts with special tokens in them."""
    tokens = torch.from_numpy(rng.integers(5, V, size=(N, T)))
    tokens[:, 0], tokens[:, T // 2] = 2, 3
    tokens[: N // 3, -3:] = 0
    tokens[N // 2, 1] = 1
    return tokens


def check_share(count, total, p, what):
    """`count` of `total` is as likely as it should be: within 6 standard deviations."""
    bound = 6 * (p * (1 - p) / total) ** 0.5 + 0.005
    if abs(count / total - p) > bound:
        fail(
            f"Of {total:,} tokens, {count / total:.1%} are {what}.",
            expected=f"{p:.1%}",
            got=f"{count / total:.1%}",
        )


@pytest.mark.question("mask_tokens", weight=2)
def test_mask_tokens_labels(student, rng):
    """Labels hold the original token where one was chosen; elsewhere -100, and nothing changed."""
    tokens = texts(rng, 30, 40, 50)
    hidden, labels = masked(student, tokens, 50, seed=7)
    chosen = labels != -100
    assert_close(labels[chosen], tokens[chosen], what="the labels of the chosen tokens")
    assert_close(hidden[~chosen], tokens[~chosen], what="the tokens that were not chosen")
    special = torch.isin(tokens, torch.tensor(SPECIAL))
    if bool((chosen & special).any()):
        fail("Special tokens were chosen to be guessed.", hint="[PAD], [CLS] and [SEP] are never chosen.")
    if not bool(chosen.any()):
        fail("No token was chosen.", value=labels)


@pytest.mark.question("mask_tokens", weight=2)
def test_mask_tokens_shares(student, rng):
    """15 % are chosen; of these 80 % masked, 10 % random, 10 % as they were."""
    V = 1000
    tokens = texts(rng, 300, 100, V)
    hidden, labels = masked(student, tokens, V, seed=3)
    ordinary = ~torch.isin(tokens, torch.tensor(SPECIAL))
    chosen = labels != -100
    check_share(int(chosen.sum()), int(ordinary.sum()), 0.15, "chosen")
    count = int(chosen.sum())
    for p, what, rows in (
        (0.8, "of the chosen masked", hidden == 4),
        (0.1, "of the chosen as they were", hidden == tokens),
        (0.1, "of the chosen replaced by a random token", (hidden != 4) & (hidden != tokens)),
    ):
        check_share(int((chosen & rows).sum()), count, p, what)


@pytest.mark.question("mask_tokens")
def test_mask_tokens_random_ones(student, rng):
    """Random tokens come from the whole vocabulary, at every position of a text."""
    V = 60
    tokens = torch.full((400, 50), 9)
    hidden, labels = masked(student, tokens, V, seed=1)
    drawn = hidden[(labels != -100) & (hidden != 4) & (hidden != 9)]
    if bool(((drawn < 0) | (drawn >= V)).any()):
        fail(f"A random token is no number from 0 to {V - 1}.", value=hidden)
    missing = set(range(5, V)) - {9} - set(drawn.tolist())
    if len(missing) > 15:
        fail(f"{len(missing)} of {V} tokens were never drawn in {len(drawn)} draws.", value=hidden)
    often = max(int((drawn == token).sum()) for token in range(V))
    if often > 0.15 * len(drawn):
        fail("One random token is drawn far more often than the others.", value=hidden)
    columns, rows = (labels != -100).any(dim=0), (labels != -100).any(dim=1)
    if not bool(columns.all()) or int(rows.sum()) < 390:
        fail("Some positions, or some texts, are never chosen.", value=labels)
    if bool(((labels != -100) == (labels != -100)[:1]).all()):
        fail("The same positions are chosen in every text.", value=labels)


@pytest.mark.question("mask_tokens")
def test_mask_tokens_arguments(student, rng):
    """share, special and mask_token are used, and the seed decides."""
    V = 50
    tokens = texts(rng, 100, 40, V)
    hidden, labels = masked(student, tokens, V, special=(0, 2, 3, 8), mask_token=6, share=0.4, seed=2)
    chosen, special = labels != -100, torch.isin(tokens, torch.tensor((0, 2, 3, 8)))
    if bool((chosen & special).any()):
        fail("Tokens in special were chosen.", value=labels)
    check_share(int(chosen.sum()), int((~special).sum()), 0.4, "chosen for share = 0.4")
    check_share(
        int((hidden == 6)[chosen].sum()), int(chosen.sum()), 0.8, "of the chosen replaced by mask_token"
    )
    again = masked(student, tokens, V, special=(0, 2, 3, 8), mask_token=6, share=0.4, seed=2)
    assert_close(again[0], hidden, what="hidden for the same seed")
    other = masked(student, tokens, V, seed=5), masked(student, tokens, V, seed=6)
    if torch.equal(other[0][1], other[1][1]):
        fail("Two seeds choose the same tokens.", value=other[0][1])


# --- pairs of sentences
def draw_documents(rng, *lengths):
    """Documents whose sentences say where they stand: (document, place)."""
    return [[f"{number}.{place}" for place in range(length)] for number, length in enumerate(lengths)]


def pairs_of(student, documents, seed):
    pairs = student.sentence_pairs(documents, seed)
    if not isinstance(pairs, list) or not all(isinstance(p, tuple | list) and len(p) == 3 for p in pairs):
        fail("A list of (first, second, label) was expected.", value=pairs)
    return pairs


@pytest.mark.question("sentence_pairs", weight=2)
def test_sentence_pairs_are_labelled_right(student, rng):
    """Each sentence with a next one comes once, in order; label 1 means the next one, 0 another document."""
    documents = draw_documents(rng, 5, 1, 3, 8, 2, 6)
    for seed in range(4):
        pairs = pairs_of(student, documents, seed)
        firsts = [sentence for document in documents for sentence in document[:-1]]
        assert_close([first for first, _, _ in pairs], firsts, what="the first sentences")
        for first, second, label in pairs:
            document, place = (int(part) for part in first.split("."))
            if label == 1:
                assert_close(second, f"{document}.{place + 1}", what=f"the sentence behind {first}")
            elif label != 0 or second.split(".")[0] == str(document):
                fail(
                    f"The sentences {first} and {second} (document.place) have the label {label!r}.",
                    expected="label 0: a sentence of another document",
                    hint="A random sentence of the same document may be the next one after all.",
                    value=pairs,
                )


@pytest.mark.question("sentence_pairs", weight=2)
def test_sentence_pairs_shares(student, rng):
    """Half of the pairs follow; the random sentences come from all documents and places."""
    documents = draw_documents(rng, *[11] * 40)
    pairs = pairs_of(student, documents, 3)
    check_share(sum(label for _, _, label in pairs), 400, 0.5, "pairs that follow")
    random_ones = [second for _, second, label in pairs if label == 0]
    numbers, places = ([int(s.split(".")[part]) for s in random_ones] for part in (0, 1))
    if len(set(numbers)) < 25 or len(set(places)) < 9 or max(map(places.count, range(11))) > 60:
        fail("The random sentences come from a few documents or places only.", value=random_ones)
    if min(map(places.count, (0, 10))) == 0:
        fail(
            "The random sentences are never a document's first one, or never its last one.", value=random_ones
        )


@pytest.mark.question("sentence_pairs")
def test_sentence_pairs_other_documents(student, rng):
    """The random sentences behind those of one document come from all others."""
    documents = draw_documents(rng, *[12] * 5)
    found = set()
    for seed in range(8):
        pairs = pairs_of(student, documents, seed)[11:22]  # those of document 1
        found |= {second.split(".")[0] for _, second, label in pairs if label == 0}
    assert_close(sorted(found), ["0", "2", "3", "4"], what="the documents of the random sentences behind 1.x")


@pytest.mark.question("sentence_pairs")
def test_sentence_pairs_two_documents(student, rng):
    """With two documents, the random sentence always comes from the other one, single sentences included."""
    documents = draw_documents(rng, 30, 1)
    for first, second, label in pairs_of(student, documents, 1):
        if label == 0:
            assert_close(second, "1.0", what=f"the random sentence behind {first}")


@pytest.mark.question("sentence_pairs")
def test_sentence_pairs_seeds(student, rng):
    """The same seed gives the same pairs, another one others; sentences may be lists of pieces."""
    documents = [[[f"w{d}", f"w{s}"] for s in range(12)] for d in range(6)]
    pairs = pairs_of(student, documents, 1)
    assert_close(
        [label for *_, label in pairs_of(student, documents, 1)],
        [label for *_, label in pairs],
        what="labels",
    )
    assert_close(pairs_of(student, documents, 1), pairs, what="the pairs for the same seed")
    assert_close(pairs[0][0], ["w0", "w0"], what="the first sentence")
    if pairs_of(student, documents, 2) == pairs:
        fail("Two seeds give the same pairs.", value=pairs)
    assert_close(len(pairs), 66, what="the number of pairs")
