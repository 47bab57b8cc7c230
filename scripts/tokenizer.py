#!/usr/bin/env python3
"""Train the bundled model's tokenizer on the captions of its data.

    python scripts/tokenizer.py --data ~/.cache/clip/drawings ~/.cache/clip/photos --out tokenizer.json

A byte-level BPE in CLIP's layout, English and Chinese. The same data gives the same file.
"""

import argparse
import collections
import json
import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

VOCAB_SIZE = 5120
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
END = "</w>"
PROMPTS = [
    "a photo of a", "a photo of an", "a photo of the", "a photograph of a", "a close-up photo of a",
    "a blurry photo of a", "a drawing of a", "a drawing of an", "a drawing of the", "an icon of a", "an icon of an",
    "an icon of", "an emoji of a", "an emoji of an", "an emoji of", "a picture of a", "a picture of an",
    "a picture of the", "an image of a", "an illustration of a", "a sketch of a", "a cartoon of a",
    "a black and white drawing of a", "a painting of a",
    "一张的图", "一张的图片", "一张的照片", "的图标", "的图", "的图片", "的照片", "表情", "表情符号", "一个", "一只",
    "这是", "画", "一幅画", "一幅的画",
]


def pre_tokenizer():
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[\p{Han}]+"), behavior="isolated"),
        pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def normalizer():
    return normalizers.Sequence([
        normalizers.NFC(),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Lowercase(),
        normalizers.Strip(),
    ])


def byte_alphabet():
    """The 256 printable stand-ins for bytes, in CLIP's order ('!' first)."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(rest))]


def learn_merges(counts, wanted):
    """Plain byte-pair merges; ties go to the smallest pair, so it is repeatable."""
    words = []
    for word in sorted(counts):
        words.append(([*word[:-1], word[-1] + END], counts[word]))
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for index, (parts, n) in enumerate(words):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += n
            where[pair].add(index)
    merges = []
    while len(merges) < wanted and pairs:
        best = min(pairs, key=lambda p: (-pairs[p], p))
        if pairs[best] < 2:
            break
        merges.append(best)
        for index in where.pop(best):
            parts, n = words[index]
            for pair in zip(parts, parts[1:]):
                pairs[pair] -= n
                if pairs[pair] <= 0:
                    del pairs[pair]
            merged, i = [], 0
            while i < len(parts):
                if i + 1 < len(parts) and (parts[i], parts[i + 1]) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            words[index] = (merged, n)
            for pair in zip(merged, merged[1:]):
                pairs[pair] += n
                where[pair].add(index)
        pairs.pop(best, None)
    return merges


def concepts(folders):
    """One line of every class in train.jsonl, in the folders' order."""
    found = {}
    for folder in folders:
        for text in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            kind = line.get("kind", "drawing")
            found.setdefault((kind, line["style"] if kind == "photo" else "", line["concept"]), line)
    return [found[key] for key in sorted(found)]


def words_of(lines):
    corpus = collections.Counter()
    for line in lines:
        # What photographs show is asked for more often than an emoji's keywords are.
        weight = 3 if line.get("kind") == "photo" else 1
        corpus[line["texts"][0]] += 3 * weight
        corpus[line["texts_zh"][0]] += weight
        others = line["texts"][1:] + line["texts_zh"][1:] + line.get("broader", []) + line.get("broader_zh", [])
        for text in others:
            corpus[text] += weight
    for text in PROMPTS:
        corpus[text] += 50
    for text in "0123456789abcdefghijklmnopqrstuvwxyz":
        corpus[text] += 3
    norm, pre = normalizer(), pre_tokenizer()
    words = collections.Counter()
    for text, n in corpus.items():
        for piece, _ in pre.pre_tokenize_str(norm.normalize_str(text)):
            words[piece] += n
    return words


def train(lines):
    alphabet = byte_alphabet()
    tokens = alphabet + [c + END for c in alphabet]
    room = VOCAB_SIZE - 2 - len(tokens)
    vocab = {t: i for i, t in enumerate(tokens)}
    merges = []
    for a, b in learn_merges(words_of(lines), room + 500):
        if a + b in vocab:  # the same token by another route
            merges.append((a, b))
        elif len(vocab) < VOCAB_SIZE - 2:
            vocab[a + b] = len(vocab)
            merges.append((a, b))
        else:
            break
    if len(vocab) != VOCAB_SIZE - 2:
        raise SystemExit(f"error: the data has only {len(vocab)} tokens")
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocab[start], vocab[end] = VOCAB_SIZE - 2, VOCAB_SIZE - 1

    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, end_of_word_suffix=END))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer(), pre_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(start, vocab[start]), (end, vocab[end])],
    )
    tokenizer.decoder = decoders.Sequence([
        # (the Strip decoder would panic on empty text)
        decoders.ByteLevel(), decoders.Replace(Regex(END + "$"), ""), decoders.Replace(END, " "),
    ])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (start, end)])
    return tokenizer


def check(tokenizer, lines):
    size = tokenizer.get_vocab_size()
    odd = ["", "é́ ß İ", "日本語テスト", "한국어", "🐈‍⬛ 👩🏽‍🚀", "\u0000\u0007", "naïve café №5", "العربية", "x" * 50]
    texts = [t for line in lines for t in line["texts"] + line["texts_zh"]] + odd
    for text, e in zip(texts, tokenizer.encode_batch(texts)):
        if e.ids[0] != size - 2 or e.ids[-1] != size - 1 or max(e.ids[:-1]) == size - 1:
            raise SystemExit(f"error: the tokenizer does not frame {text!r}")
        back = tokenizer.decode(e.ids).replace(" ", "")
        want = re.sub(r"\s", "", tokenizer.normalizer.normalize_str(text))
        if back != want:
            raise SystemExit(f"error: the tokenizer loses text: {text!r} came back as {back!r}")

    def mean(strings):
        return round(sum(len(tokenizer.encode(s).ids) - 2 for s in strings) / len(strings), 3)

    return {
        "vocab_size": size,
        "mean_tokens_per_name": mean([line["texts"][0] for line in lines]),
        "mean_tokens_per_chinese_name": mean([line["texts_zh"][0] for line in lines]),
        "longest_text_with_start_and_end": max(len(e.ids) for e in tokenizer.encode_batch(texts[: -len(odd)])),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with a train.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="the tokenizer.json")
    arguments = parser.parse_args()
    lines = concepts([folder.expanduser() for folder in arguments.data])
    tokenizer = train(lines)
    print(json.dumps(check(tokenizer, lines)))
    # Nobody reads it, every first visit loads it.
    arguments.out.expanduser().write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
