"""What goes wrong in BERT: small wrong versions of one function each, with explanations."""

import math
import unicodedata
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_basic_tokenize = basic_tokenize
right_wordpiece = wordpiece
right_encode_pair = encode_pair
right_embed = embed
right_bert_layer = bert_layer
right_bert_encode = bert_encode
right_mask_tokens = mask_tokens
right_mlm_logits = mlm_logits
right_mlm_loss = mlm_loss
right_sentence_pairs = sentence_pairs
right_pair_logits = pair_logits
right_pretraining_loss = pretraining_loss
right_fine_tune = fine_tune
right_mean_pool = mean_pool
right_nearest = nearest
right_load_weights = load_weights


# --- words


def any_tokenizer(
    text,
    *,
    lower=str.lower,
    form="NFD",
    keep_accents=False,
    control=lambda char, category: char == "\ufffd" or category[0] == "C",
    removed="",
    space=lambda char, category: char in " \t\n\r" or category == "Zs",
    punctuation=lambda char, category: (
        category[0] == "P" or (char.isascii() and not char.isalnum() and char != " ")
    ),
    ranges=None,
):
    """basic_tokenize, with some of its decisions taken otherwise."""
    cleaned = []
    for char in text:
        category = unicodedata.category(char)
        if space(char, category):
            cleaned.append(" ")
        elif control(char, category):
            cleaned.append(removed)
        elif any(a <= ord(char) <= b for a, b in (CJK_RANGES if ranges is None else ranges)):
            cleaned.append(f" {char} ")
        else:
            cleaned.append(char)
    spaced = []
    for char in unicodedata.normalize(form, lower("".join(cleaned))):
        category = unicodedata.category(char)
        if punctuation(char, category):
            spaced.append(f" {char} ")
        elif category != "Mn" or keep_accents:
            spaced.append(char)
    return "".join(spaced).split()


@mistake("basic_tokenize", "The text is not put into lower case.")
def words_with_capitals(text):
    return any_tokenizer(text, lower=str)


@mistake(
    "basic_tokenize",
    "Accents stay: decompose with NFD, then remove the category Mn.",
    like="words_not_decomposed",
)
def words_with_accents(text):
    return any_tokenizer(text, form="NFC", keep_accents=True)


@mistake(
    "basic_tokenize",
    "Accents that stand in one character with their letter (é) stay, since the text is not decomposed first.",
    like="words_with_accents",
)
def words_not_decomposed(text):
    return any_tokenizer(text, form="NFC")


@mistake(
    "basic_tokenize", "The text is cut at blanks only: each punctuation mark should be a word of its own."
)
def words_with_punctuation(text):
    return any_tokenizer(text, punctuation=lambda *_: False)


@mistake(
    "basic_tokenize",
    "ASCII symbols such as $, + and ~ are punctuation here, though their category begins with S.",
)
def words_with_symbols(text):
    return any_tokenizer(text, punctuation=lambda char, category: category[0] == "P")


@mistake("basic_tokenize", "Only ASCII punctuation is cut off; category P holds much more: « » … –")
def words_ascii_punctuation(text):
    return any_tokenizer(
        text, punctuation=lambda char, _: char.isascii() and not char.isalnum() and char != " "
    )


@mistake(
    "basic_tokenize", "Every symbol is cut off, € and ° too; outside of ASCII only category P is punctuation."
)
def words_all_symbols(text):
    return any_tokenizer(
        text,
        punctuation=lambda char, category: (
            category[0] in "PS" or (char.isascii() and not char.isalnum() and char != " ")
        ),
    )


@mistake(
    "basic_tokenize", "A control character becomes a blank; it should vanish without separating anything."
)
def words_cut_at_control_characters(text):
    return any_tokenizer(text, removed=" ")


@mistake(
    "basic_tokenize",
    "Only the category Cc is removed. Cf (invisible format characters), Co and Cn go as well.",
)
def words_with_format_characters(text):
    return any_tokenizer(text, control=lambda char, category: char == "\ufffd" or category == "Cc")


@mistake("basic_tokenize", "Tab and newline are removed as control characters; they are white space.")
def words_joined_at_newlines(text):
    return any_tokenizer(text, space=lambda char, category: category == "Zs")


@mistake("basic_tokenize", "U+FFFD stays: the replacement character is removed.")
def words_with_replacement_character(text):
    return any_tokenizer(text, control=lambda _, category: category[0] == "C")


@mistake("basic_tokenize", "Chinese characters are not words of their own.")
def words_of_many_chinese_characters(text):
    return any_tokenizer(text, ranges=())


@mistake("basic_tokenize", "Only the first range of Chinese characters is treated; there are eight.")
def words_first_chinese_range(text):
    return any_tokenizer(text, ranges=CJK_RANGES[:1])


@mistake("basic_tokenize", "Empty words stay in the list.")
def words_empty_ones(text):
    return " ".join(right_basic_tokenize(text)).split(" ") + [""] * text.count("  ")


# --- pieces


def any_pieces(word, vocabulary, unknown, *, longest=True, prefix="##", rest=None):
    pieces, start = [], 0
    while start < len(word):
        ends = range(len(word), start, -1) if longest else range(start + 1, len(word) + 1)
        for end in ends:
            piece = (prefix if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            if rest is None:
                return [unknown]
            pieces.append(unknown)
            start += rest
            continue
        pieces.append(piece)
        start = end
    return pieces


@mistake("wordpiece", "The shortest piece that fits is taken; it should be the longest.")
def pieces_shortest(word, vocabulary, unknown="[UNK]", max_characters=100):
    if len(word) > max_characters:
        return [unknown]
    return any_pieces(word, vocabulary, unknown, longest=False)


@mistake("wordpiece", "Later pieces are looked up without ##.")
def pieces_without_prefix(word, vocabulary, unknown="[UNK]", max_characters=100):
    if len(word) > max_characters:
        return [unknown]
    return any_pieces(word, vocabulary, unknown, prefix="")


@mistake("wordpiece", "Only the part that fits no piece becomes unknown; it should be the whole word.")
def pieces_partly_unknown(word, vocabulary, unknown="[UNK]", max_characters=100):
    if len(word) > max_characters:
        return [unknown]
    return any_pieces(word, vocabulary, unknown, rest=1)


@mistake(
    "wordpiece",
    "Where the rest fits no piece, the pieces found so far are returned; the whole word is unknown.",
)
def pieces_so_far(word, vocabulary, unknown="[UNK]", max_characters=100):
    if len(word) > max_characters:
        return [unknown]
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return pieces or [unknown]
        pieces.append(piece)
        start = end
    return pieces


@mistake("wordpiece", "There is no limit for long words.")
def pieces_without_limit(word, vocabulary, unknown="[UNK]", max_characters=100):
    return right_wordpiece(word, vocabulary, unknown, len(word))


@mistake("wordpiece", "A word of exactly max_characters is unknown; only longer ones are.")
def pieces_limit_one_too_low(word, vocabulary, unknown="[UNK]", max_characters=100):
    return right_wordpiece(word, vocabulary, unknown, max_characters - 1)


@mistake("wordpiece", "The pieces lose their ## in the result.")
def pieces_prefix_removed(word, vocabulary, unknown="[UNK]", max_characters=100):
    return [piece.removeprefix("##") for piece in right_wordpiece(word, vocabulary, unknown, max_characters)]


@mistake(
    "wordpiece",
    "The search goes back and tries shorter pieces where a longer one leads nowhere: it is greedy.",
)
def pieces_with_backtracking(word, vocabulary, unknown="[UNK]", max_characters=100):
    def search(start):
        if start == len(word):
            return []
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary and (rest := search(end)) is not None:
                return [piece, *rest]
        return None

    found = None if len(word) > max_characters else search(0)
    return [unknown] if found is None else found


# --- pairs


@mistake("encode_pair", "The [SEP] in the middle belongs to segment 0, the one at the end to segment 1.")
def pair_first_separator_in_b(first, second, vocabulary, max_length):
    tokens, segments = right_encode_pair(first, second, vocabulary, max_length)
    if second is not None and vocabulary["[SEP]"] in tokens:
        segments[tokens.index(vocabulary["[SEP]"])] = 1
    return tokens, segments


@mistake("encode_pair", "The segments of the padding are 1; they should be 0.")
def pair_padding_in_b(first, second, vocabulary, max_length):
    tokens, segments = right_encode_pair(first, second, vocabulary, max_length)
    length = 2 + len(first) if second is None else 3 + len(first) + len(second)
    return tokens, segments[:length] + [1] * (max_length - length)


@mistake("encode_pair", "The second [SEP], behind B, is missing.")
def pair_one_separator(first, second, vocabulary, max_length):
    tokens, segments = right_encode_pair(first, second, vocabulary, max_length)
    if second is not None:
        place = max(i for i, token in enumerate(tokens) if token == vocabulary["[SEP]"])
        tokens[place], segments[place] = vocabulary["[PAD]"], 0
    return tokens, segments


@mistake("encode_pair", "What is too long is cut off at the end, B and its [SEP] first.")
def pair_cut_at_the_end(first, second, vocabulary, max_length):
    room = len(first) + len(second or []) + 3
    tokens, segments = right_encode_pair(first, second, vocabulary, max(room, max_length))
    return tokens[:max_length], segments[:max_length]


@mistake("encode_pair", "Pieces are dropped from A where both are equally long; B loses one.")
def pair_ties_drop_a(first, second, vocabulary, max_length):
    first, second = list(first), None if second is None else list(second)
    room = max_length - (2 if second is None else 3)
    while len(first) + len(second or []) > room:
        (second if second is not None and len(second) > len(first) else first).pop()
    return right_encode_pair(first, second, vocabulary, max_length)


@mistake("encode_pair", "Pieces are dropped from the beginning of the longer text; they go from its end.")
def pair_cut_at_the_beginning(first, second, vocabulary, max_length):
    first, second = list(first), None if second is None else list(second)
    room = max_length - (2 if second is None else 3)
    while len(first) + len(second or []) > room:
        (second if second is not None and len(second) >= len(first) else first).pop(0)
    return right_encode_pair(first, second, vocabulary, max_length)


@mistake("encode_pair", "The lists of the caller are cut in place: work on copies.")
def pair_cuts_the_callers_lists(first, second, vocabulary, max_length):
    room = max_length - (2 if second is None else 3)
    while len(first) + len(second or []) > room:
        (second if second is not None and len(second) >= len(first) else first).pop()
    return right_encode_pair(first, second, vocabulary, max_length)


@mistake("encode_pair", "A piece that is not in the vocabulary is left out; it becomes [UNK].")
def pair_leaves_out_unknown(first, second, vocabulary, max_length):
    known = [piece for piece in first if piece in vocabulary]
    other = None if second is None else [piece for piece in second if piece in vocabulary]
    return right_encode_pair(known, other, vocabulary, max_length)


@mistake("encode_pair", "[PAD] is taken to be 0; look its number up in the vocabulary.")
def pair_padding_is_zero(first, second, vocabulary, max_length):
    return right_encode_pair(first, second, {**vocabulary, "[PAD]": 0}, max_length)


# --- encoder


@mistake("embed", "The segments are not added.")
def embed_without_segments(tokens, segments, params):
    return right_embed(tokens, segments, params | {"segments": 0 * params["segments"]})


@mistake("embed", "The positions are not added.")
def embed_without_positions(tokens, segments, params):
    return right_embed(tokens, segments, params | {"positions": 0 * params["positions"]})


@mistake("embed", "The sum is not normalised.")
def embed_without_norm(tokens, segments, params):
    return params["tokens"][tokens] + params["positions"][: tokens.shape[1]] + params["segments"][segments]


@mistake("embed", "The token's embedding is normalised before position and segment are added; the sum is.")
def embed_norm_first(tokens, segments, params):
    x = norm(params["tokens"][tokens], params["norm"])
    return x + params["positions"][: tokens.shape[1]] + params["segments"][segments]


@mistake("embed", "Epsilon is 1e-5, PyTorch's default; BERT has 1e-12.")
def embed_other_epsilon(tokens, segments, params):
    x = params["tokens"][tokens] + params["positions"][: tokens.shape[1]] + params["segments"][segments]
    return F.layer_norm(x, x.shape[-1:], params["norm"]["gamma"], params["norm"]["beta"])


def any_layer(x, params, num_heads, mask, place, activation=F.gelu):
    a, f = params["attention"], params["feed_forward"]

    def attend(h):
        q, k, v = (
            (h @ a[f"w{n}"] + a[f"b{n}"]).unflatten(-1, (num_heads, -1)).transpose(1, 2) for n in "qkv"
        )
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return heads.transpose(1, 2).flatten(2) @ a["wo"] + a["bo"]

    x = place(x, attend, params["norm1"])
    return place(x, lambda h: activation(h @ f["w1"] + f["b1"]) @ f["w2"] + f["b2"], params["norm2"])


@mistake("bert_layer", "The block is pre-norm; BERT's is post-norm: norm(x + part(x)).")
def layer_pre_norm(x, params, num_heads, mask=None):
    return any_layer(x, params, num_heads, mask, lambda x, part, n: x + part(norm(x, n)))


@mistake("bert_layer", "The residual connections are missing.")
def layer_without_residual(x, params, num_heads, mask=None):
    return any_layer(x, params, num_heads, mask, lambda x, part, n: norm(part(x), n))


@mistake("bert_layer", "The mask is not used.")
def layer_without_mask(x, params, num_heads, mask=None):
    return right_bert_layer(x, params, num_heads)


@mistake("bert_layer", "The hidden layer has ReLU; BERT has GELU.")
def layer_relu(x, params, num_heads, mask=None):
    return any_layer(x, params, num_heads, mask, lambda x, part, n: norm(x + part(x), n), F.relu)


@mistake("bert_layer", "There is one head only.")
def layer_one_head(x, params, num_heads, mask=None):
    if mask is not None and mask.ndim == 4:
        mask = mask[:, :1]
    return right_bert_layer(x, params, 1, mask)


@mistake("bert_layer", "The heads are merged without exchanging heads and positions first.")
def layer_heads_mixed(x, params, num_heads, mask=None):
    a, f = params["attention"], params["feed_forward"]
    q, k, v = ((x @ a[f"w{n}"] + a[f"b{n}"]).unflatten(-1, (num_heads, -1)).transpose(1, 2) for n in "qkv")
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).reshape(x.shape)
    h = norm(x + heads @ a["wo"] + a["bo"], params["norm1"])
    return norm(h + F.gelu(h @ f["w1"] + f["b1"]) @ f["w2"] + f["b2"], params["norm2"])


@mistake("bert_layer", "norm1 serves twice: the feed-forward part has norm2.")
def layer_one_norm(x, params, num_heads, mask=None):
    return right_bert_layer(x, params | {"norm2": params["norm1"]}, num_heads, mask)


@mistake("bert_encode", "Padding is seen: the mask is missing.", family="partial")
def encode_sees_padding(tokens, segments, params, num_heads, pad=0):
    return right_bert_encode(tokens, segments, params, num_heads, pad=-1)


@mistake("bert_encode", "A causal mask: BERT reads in both directions.")
def encode_causal(tokens, segments, params, num_heads, pad=0):
    x = embed(tokens, segments, params)
    T = tokens.shape[1]
    mask = (tokens != pad)[:, None, None, :] & torch.ones(T, T, dtype=torch.bool).tril()
    for layer in params["layers"]:
        x = bert_layer(x, layer, num_heads, mask)
    return x


@mistake("bert_encode", "The mask is the wrong way round: only padding is seen.")
def encode_mask_inverted(tokens, segments, params, num_heads, pad=0):
    x = embed(tokens, segments, params)
    for layer in params["layers"]:
        x = bert_layer(x, layer, num_heads, (tokens == pad)[:, None, None, :])
    return x


@mistake("bert_encode", "The mask is handed to the first block only.", family="partial")
def encode_mask_once(tokens, segments, params, num_heads, pad=0):
    x, mask = embed(tokens, segments, params), (tokens != pad)[:, None, None, :]
    for layer in params["layers"]:
        x, mask = bert_layer(x, layer, num_heads, mask), None
    return x


@mistake("bert_encode", "The argument pad is not used.")
def encode_pad_always_zero(tokens, segments, params, num_heads, pad=0):
    return right_bert_encode(tokens, segments, params, num_heads)


@mistake("bert_encode", "All blocks have the parameters of the first one.")
def encode_one_block(tokens, segments, params, num_heads, pad=0):
    layers = params["layers"][:1] * len(params["layers"])
    return right_bert_encode(tokens, segments, params | {"layers": layers}, num_heads, pad)


# --- masked words


def any_masking(
    tokens, num_tokens, special, mask_token, share, seed, *, parts=(0.8, 0.1), shape=None, label=None
):
    g = torch.Generator().manual_seed(seed)
    draw = torch.rand(shape or tokens.shape, generator=g).expand(tokens.shape)
    chosen = (draw < share) & ~torch.isin(tokens, torch.tensor(list(special)))
    fate = draw / share
    other = torch.randint(num_tokens, tokens.shape, generator=g)
    hidden = tokens.masked_fill(chosen & (fate < parts[0]), mask_token)
    middle = (fate >= parts[0]) & (fate < parts[0] + parts[1])
    hidden = torch.where(chosen & middle, other, hidden)
    return hidden, tokens.masked_fill(~chosen, -100) if label is None else label(tokens, hidden, chosen)


@mistake("mask_tokens", "Every chosen token is masked; 10 % should be random and 10 % stay.")
def mask_all(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    return any_masking(tokens, num_tokens, special, mask_token, share, seed, parts=(1.0, 0.0))


@mistake(
    "mask_tokens", "80 % of the chosen are masked and 20 % random; half of these should stay as they are."
)
def mask_none_stays(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(tokens, num_tokens, special, mask_token, share, seed, parts=(0.8, 0.2))


@mistake("mask_tokens", "80 % of the chosen are masked and 20 % stay; half of these should be random.")
def mask_none_random(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(tokens, num_tokens, special, mask_token, share, seed, parts=(0.8, 0.0))


@mistake("mask_tokens", "Special tokens are chosen as well.")
def mask_special(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    return any_masking(tokens, num_tokens, (), mask_token, share, seed)


@mistake("mask_tokens", "Every token has a label; those that were not chosen should have -100.")
def mask_labels_everywhere(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(
        tokens,
        num_tokens,
        special,
        mask_token,
        share,
        seed,
        label=lambda tokens, hidden, chosen: tokens.clone(),
    )


@mistake("mask_tokens", "The labels are what the model reads; they should be the original tokens.")
def mask_labels_hidden(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(
        tokens,
        num_tokens,
        special,
        mask_token,
        share,
        seed,
        label=lambda tokens, hidden, chosen: hidden.masked_fill(~chosen, -100),
    )


@mistake(
    "mask_tokens",
    "Only changed tokens have labels. Those that were chosen and stayed as they are are asked for as well.",
)
def mask_labels_of_changed(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(
        tokens,
        num_tokens,
        special,
        mask_token,
        share,
        seed,
        label=lambda tokens, hidden, chosen: tokens.masked_fill(hidden == tokens, -100),
    )


@mistake("mask_tokens", "All texts have the same positions chosen: draw for each text.")
def mask_same_positions(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(tokens, num_tokens, special, mask_token, share, seed, shape=(1, tokens.shape[1]))


@mistake("mask_tokens", "The seed is not used: each call draws something else.")
def mask_without_seed(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(tokens, num_tokens, special, mask_token, share, int(torch.randint(2**31, ())))


@mistake("mask_tokens", "The argument share is not used.")
def mask_fixed_share(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    return any_masking(tokens, num_tokens, special, mask_token, 0.15, seed)


@mistake("mask_tokens", "The tokens are masked in place: the caller's tensor is changed.")
def mask_in_place(
    tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0
):
    hidden, labels = any_masking(tokens.clone(), num_tokens, special, mask_token, share, seed)
    tokens.copy_(hidden)
    return tokens, labels


@mistake("mlm_logits", "The normalisation in the head is missing.")
def mlm_without_norm(hidden, params):
    head = params["mlm"]
    return F.gelu(hidden @ head["w"] + head["b"]) @ params["tokens"].T + head["bias"]


@mistake("mlm_logits", "GELU is missing.")
def mlm_without_gelu(hidden, params):
    head = params["mlm"]
    return norm(hidden @ head["w"] + head["b"], head["norm"]) @ params["tokens"].T + head["bias"]


@mistake("mlm_logits", "The bias of the tokens is missing.", family="shifted")
def mlm_without_bias(hidden, params):
    return right_mlm_logits(hidden, params) - params["mlm"]["bias"]


@mistake("mlm_logits", "The hidden vectors meet the embeddings directly; the linear layer is missing.")
def mlm_without_layer(hidden, params):
    return norm(F.gelu(hidden), params["mlm"]["norm"]) @ params["tokens"].T + params["mlm"]["bias"]


@mistake("mlm_logits", "Probabilities are returned; the loss takes logits.")
def mlm_with_softmax(hidden, params):
    return torch.softmax(right_mlm_logits(hidden, params), dim=-1)


@mistake(
    "mlm_loss",
    "The sum is divided by the number of all positions; only the chosen ones count.",
    family="scaled",
)
def mlm_divided_by_all(logits, labels):
    return right_mlm_loss(logits, labels) * (labels != -100).to(logits.dtype).mean()


@mistake("mlm_loss", "The sum is not divided by anything; the mean is asked for.", family="scaled")
def mlm_summed(logits, labels):
    return right_mlm_loss(logits, labels) * (labels != -100).sum()


@mistake("mlm_loss", "Labels of -100 are taken for the token 0.")
def mlm_counts_everything(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten())


@mistake("mlm_loss", "Where no token was chosen the loss is 0 / 0, NaN; it should be 0.", family="unstable")
def mlm_nan(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


@mistake("mlm_loss", "The mean of each text is taken first; each chosen position should count the same.")
def mlm_mean_of_texts(logits, labels):
    return torch.stack(
        [right_mlm_loss(row[None], own[None]) for row, own in zip(logits, labels, strict=True)]
    ).mean()


@mistake("mlm_loss", "The loss is in bits; nats are asked for.", family="scaled")
def mlm_in_bits(logits, labels):
    return right_mlm_loss(logits, labels) / math.log(2)


# --- next sentence


def any_pairs(documents, seed, *, share=0.5, other=None, value=(1, 0)):
    rng = np.random.default_rng(seed)
    pairs = []
    for number, document in enumerate(documents):
        for place, first in enumerate(document[:-1]):
            if rng.random() < share:
                pairs.append((first, document[place + 1], value[0]))
            else:
                pairs.append((first, other(rng, number), value[1]))
    return pairs


def elsewhere(documents, rng, number):
    others = [d for i, d in enumerate(documents) if i != number]
    chosen = others[rng.integers(len(others))]
    return chosen[rng.integers(len(chosen))]


@mistake(
    "sentence_pairs", "The random sentence may come from the same document, and be the next one after all."
)
def pairs_of_the_same_document(documents, seed=0):
    def other(rng, number):
        document = documents[rng.integers(len(documents))]
        return document[rng.integers(len(document))]

    return any_pairs(documents, seed, other=other)


@mistake("sentence_pairs", "The labels are exchanged: 1 means that the second sentence follows.")
def pairs_labels_exchanged(documents, seed=0):
    return any_pairs(documents, seed, other=lambda rng, n: elsewhere(documents, rng, n), value=(0, 1))


@mistake("sentence_pairs", "There are no pairs that do not follow: all labels are 1.")
def pairs_all_follow(documents, seed=0):
    return any_pairs(documents, seed, share=1.1)


@mistake(
    "sentence_pairs", "The random sentence is always the first one of its document, which gives it away."
)
def pairs_first_sentences(documents, seed=0):
    def other(rng, number):
        others = [d for i, d in enumerate(documents) if i != number]
        return others[rng.integers(len(others))][0]

    return any_pairs(documents, seed, other=other)


@mistake("sentence_pairs", "The random sentence always comes from the next document; draw from all others.")
def pairs_of_the_next_document(documents, seed=0):
    def other(rng, number):
        document = documents[(number + 1) % len(documents)]
        return document[rng.integers(len(document))]

    return any_pairs(documents, seed, other=other)


@mistake(
    "sentence_pairs", "Both a right and a random pair are made of each sentence; one of them is asked for."
)
def pairs_two_for_each(documents, seed=0):
    rng = np.random.default_rng(seed)
    pairs = []
    for number, document in enumerate(documents):
        for place, first in enumerate(document[:-1]):
            pairs.append((first, document[place + 1], 1))
            pairs.append((first, elsewhere(documents, rng, number), 0))
    return pairs


@mistake(
    "sentence_pairs", "The last sentence of a document is paired with the first one of the next document."
)
def pairs_across_documents(documents, seed=0):
    rng = np.random.default_rng(seed)
    sentences = [(number, s) for number, document in enumerate(documents) for s in document]
    pairs = []
    for (number, first), (_, following) in pairwise(sentences):
        if rng.random() < 0.5:
            pairs.append((first, following, 1))
        else:
            pairs.append((first, elsewhere(documents, rng, number), 0))
    return pairs


@mistake("sentence_pairs", "The seed is not used: each call makes other pairs.")
def pairs_without_seed(documents, seed=0):
    return right_sentence_pairs(documents, int(np.random.randint(2**31)))


@mistake("pair_logits", "The mean over all positions is taken; the pooler reads the vector at [CLS].")
def pooled_over_all(hidden, params, head="nsp"):
    return right_pair_logits(hidden.mean(dim=1, keepdim=True), params, head)


@mistake("pair_logits", "tanh is missing in the pooler.")
def pooled_without_tanh(hidden, params, head="nsp"):
    pooled = hidden[:, 0] @ params["pooler"]["w"] + params["pooler"]["b"]
    return pooled @ params[head]["w"] + params[head]["b"]


@mistake("pair_logits", "The pooler is left out: the head stands on the hidden vector itself.")
def pooled_not_at_all(hidden, params, head="nsp"):
    return hidden[:, 0] @ params[head]["w"] + params[head]["b"]


@mistake("pair_logits", "The last position is read; [CLS] is the first one.")
def pooled_at_the_end(hidden, params, head="nsp"):
    return right_pair_logits(hidden[:, -1:], params, head)


@mistake("pair_logits", 'The head is always "nsp", whatever the argument says.')
def pooled_one_head(hidden, params, head="nsp"):
    return right_pair_logits(hidden, params)


# --- training


@mistake("pretraining_loss", "The model reads the tokens as they are: nothing is hidden from it.")
def pretraining_unmasked(tokens, segments, follows, params, num_heads, seed=0):
    _, labels = mask_tokens(tokens, len(params["tokens"]), seed=seed)
    hidden = bert_encode(tokens, segments, params, num_heads)
    return mlm_loss(mlm_logits(hidden, params), labels), F.cross_entropy(pair_logits(hidden, params), follows)


@mistake("pretraining_loss", "The masks are drawn with the same seed at every step.")
def pretraining_same_masks(tokens, segments, follows, params, num_heads, seed=0):
    return right_pretraining_loss(tokens, segments, follows, params, num_heads)


@mistake(
    "pretraining_loss", "The loss of the masked words counts every token, also those that were not hidden."
)
def pretraining_all_tokens(tokens, segments, follows, params, num_heads, seed=0):
    hidden_tokens, _ = mask_tokens(tokens, len(params["tokens"]), seed=seed)
    hidden = bert_encode(hidden_tokens, segments, params, num_heads)
    return mlm_loss(mlm_logits(hidden, params), tokens), F.cross_entropy(pair_logits(hidden, params), follows)


@mistake("pretraining_loss", "The two losses come in the other order.")
def pretraining_in_other_order(tokens, segments, follows, params, num_heads, seed=0):
    return right_pretraining_loss(tokens, segments, follows, params, num_heads, seed)[::-1]


@mistake("pretraining_loss", "The segments are not handed to the encoder: all of them are 0.")
def pretraining_without_segments(tokens, segments, follows, params, num_heads, seed=0):
    return right_pretraining_loss(tokens, 0 * segments, follows, params, num_heads, seed)


@mistake("pretraining_loss", "The losses are detached from the graph: nothing can be learned from them.")
def pretraining_detached(tokens, segments, follows, params, num_heads, seed=0):
    mlm, nsp = right_pretraining_loss(tokens, segments, follows, params, num_heads, seed)
    return mlm.detach(), nsp.detach()


def any_tuning(params, num_heads, tokens, segments, labels, num_steps, learning_rate, rows, which=None):
    def loss_of(params, step):
        batch = rows(len(tokens))
        hidden = bert_encode(tokens[batch], segments[batch], params, num_heads)
        return (F.cross_entropy(pair_logits(hidden, params, "classifier"), labels[batch]),)

    history = optimise(params if which is None else which(params), loss_of, num_steps, learning_rate)
    return [loss for (loss,) in history]


@mistake("fine_tune", "Only the head is trained; all parameters are.")
def tune_head_only(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    g = torch.Generator().manual_seed(seed)

    def loss_of(head, step):
        batch = torch.randint(len(tokens), (batch_size,), generator=g)
        hidden = bert_encode(tokens[batch], segments[batch], params, num_heads)
        logits = pair_logits(hidden, params | {"classifier": head}, "classifier")
        return (F.cross_entropy(logits, labels[batch]),)

    history = optimise(params["classifier"], loss_of, num_steps, learning_rate)
    return params, [loss for (loss,) in history]


@mistake("fine_tune", "Only the first batch_size examples are ever used.")
def tune_first_batch(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    return params, any_tuning(
        params, num_heads, tokens, segments, labels, num_steps, learning_rate,
        lambda n: torch.arange(batch_size) % min(n, batch_size),
    )  # fmt: skip


@mistake("fine_tune", "The seed of the batches is not used.")
def tune_without_seed(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    return params, any_tuning(
        params, num_heads, tokens, segments, labels, num_steps, learning_rate,
        lambda n: torch.randint(n, (batch_size,)),
    )  # fmt: skip


@mistake("fine_tune", "The tokens are masked while fine-tuning; the task needs the whole text.")
def tune_masked(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    hidden, _ = mask_tokens(tokens, len(params["tokens"]), special=(), share=0.6, seed=seed)
    return right_fine_tune(
        params, num_heads, hidden, segments, labels, num_steps, batch_size, learning_rate, seed
    )


@mistake("fine_tune", "The losses are tuples; floats are asked for.")
def tune_returns_tuples(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    params, losses = right_fine_tune(
        params, num_heads, tokens, segments, labels, num_steps, batch_size, learning_rate, seed
    )
    return params, [(loss,) for loss in losses]


# --- vectors and weights


@mistake("mean_pool", "Padding counts: the mean runs over all positions.")
def pool_with_padding(hidden, tokens, pad=0):
    return hidden.mean(dim=1)


@mistake(
    "mean_pool",
    "The sum leaves padding out, but it is divided by the number of all positions.",
    family="scaled",
)
def pool_divided_by_all(hidden, tokens, pad=0):
    return (hidden * (tokens != pad)[..., None]).sum(dim=1) / tokens.shape[1]


@mistake("mean_pool", "The vector at [CLS] is taken; the mean is asked for.")
def pool_first(hidden, tokens, pad=0):
    return hidden[:, 0]


@mistake("mean_pool", "The sum is not divided by the number of tokens.", family="scaled")
def pool_summed(hidden, tokens, pad=0):
    return (hidden * (tokens != pad)[..., None]).sum(dim=1)


@mistake(
    "mean_pool",
    "The sum is divided by the number of tokens of all rows; each row has its own.",
    family="scaled",
)
def pool_divided_by_total(hidden, tokens, pad=0):
    keep = tokens != pad
    return (hidden * keep[..., None]).sum(dim=1) / keep.sum()


@mistake("nearest", "Scalar products are compared; the cosine divides by both lengths.")
def nearest_by_product(queries, vectors, k):
    best = (queries @ vectors.T).topk(k, dim=1)
    return best.indices, best.values


@mistake("nearest", "The least similar vectors are returned.")
def nearest_farthest(queries, vectors, k):
    cosines = F.normalize(queries, dim=1) @ F.normalize(vectors, dim=1).T
    best = cosines.topk(k, dim=1, largest=False)
    return best.indices, best.values


@mistake("nearest", "Indices and cosines come in the other order.")
def nearest_in_other_order(queries, vectors, k):
    return right_nearest(queries, vectors, k)[::-1]


@mistake(
    "nearest",
    "Only the vectors are brought to length 1, not the queries: the order is right, the cosines are not.",
    family="scaled",
)
def nearest_queries_not_normalised(queries, vectors, k):
    best = (queries @ F.normalize(vectors, dim=1).T).topk(k, dim=1)
    return best.indices, best.values


@mistake("nearest", "Distances are compared; the cosine looks at directions.")
def nearest_by_distance(queries, vectors, k):
    best = (-torch.cdist(queries, vectors)).topk(k, dim=1)
    return best.indices, -best.values


def every_layer(params, change):
    return params | {"layers": [change(layer) for layer in params["layers"]]}


@mistake(
    "load_weights",
    "The weights of linear layers are not transposed: published ones are (outputs, inputs).",
    family="transposed",
)
def weights_not_transposed(state, prefix=""):
    def change(layer):
        return {
            name: {key: t.T if key[0] == "w" else t for key, t in part.items()}
            for name, part in layer.items()
        }

    return every_layer(right_load_weights(state, prefix), change)


@mistake(
    "load_weights",
    "The embedding tables are transposed; they are looked up row by row, as they are.",
    family="transposed",
)
def weights_tables_transposed(state, prefix=""):
    params = right_load_weights(state, prefix)
    return params | {name: params[name].T for name in ("tokens", "positions", "segments")}


@mistake("load_weights", "The prefix is not used.")
def weights_without_prefix(state, prefix=""):
    return right_load_weights(state)


@mistake("load_weights", "Keys and values are exchanged.")
def weights_keys_for_values(state, prefix=""):
    def change(layer):
        a = layer["attention"]
        return layer | {"attention": a | {"wk": a["wv"], "bk": a["bv"], "wv": a["wk"], "bv": a["bk"]}}

    return every_layer(right_load_weights(state, prefix), change)


@mistake("load_weights", "The two normalisations of a block are exchanged.")
def weights_norms_exchanged(state, prefix=""):
    return every_layer(
        right_load_weights(state, prefix),
        lambda layer: layer | {"norm1": layer["norm2"], "norm2": layer["norm1"]},
    )


@mistake(
    "load_weights",
    "The blocks come in the order of the dictionary; their numbers count (and 10 comes behind 9).",
)
def weights_in_order_of_names(state, prefix=""):
    params = right_load_weights(state, prefix)
    order = sorted(range(len(params["layers"])), key=str)
    if len(order) <= 10:
        order = order[::-1]
    return params | {"layers": [params["layers"][i] for i in order]}


@mistake("load_weights", "The last block is missing.")
def weights_one_block_too_few(state, prefix=""):
    params = right_load_weights(state, prefix)
    return params | {"layers": params["layers"][:-1]}
