"""Tiny SentencePiece models of SigLIP's and SigLIP 2's kinds, and the ids that the library itself gives for texts."""

import io
import json

import sentencepiece
from make_families import TEXTS, transformers_canonical
from make_models import HERE

# What either kind treats in a way of its own.
SPACES = [" " * 5, "  two  before and after  ", "a   b", "\t", "\ta\tb"]
SPACES += ["\n", "\n\n", "a\n\nb", "a\n\n\nb\n", "\r\n\r\n"]
SPECIAL = ["</s>", "a </s> b", "<eos>", "a<eos>b", "<bos><pad>", "<unk>", "a <unk> b", "<0x41>"]
SYMBOLS = ["a<table>b", "<table", "<<table>>", "<TABLE>", "<mask> a", "a <s> b</s>", " <table> "]
UNDERLINES = ["\u2581", "\u2581" * 4, "a\u2581b", "a \u2581 b", "\u2581 a", " \u2581", "a\u2581\u2581\u2581b"]
# Marks that are joined with the letter before them, or not: the table has the two together or apart.
MARKS = ["\uff76\uff9e\uff77\uff9e \uff8a\uff9f", "\ufb01\u0301", "e\u0323\u0301", "\u2126\u0301", "\u0301a"]
MARKS += ["\u1112\u1161\u11ab", "\uff21\u0301", "\u0344\u0344", "\u00bd\u0338 \u2122\u20dd"]
JOINED = ["a\u200db", "\U0001f469\u200d\U0001f680", "\U0001f1e9\U0001f1ea", "\u00ad", "a\u00adb", "\u200b", "a\u200bb"]
LONGER = ["\ufdfa", "\u33a5\u00b2", "\u3000a\u3000", "\uff28\uff25\uff2c\uff2c\uff2f", "\ufb03\u0132"]
CONTROLS = ["\u0000", "a\u0000b", "\u0001\u0002", "a\u001fb", "\u0085", "\u00a0a\u00a0", "\ufeff", "\ufffd"]
# Of a run many splits have the same pieces.
RUNS = ["-" * 31, "=" * 20, "." * 17, "a" * 23, "ha" * 15, "00000", "2024-11-27", "cat" * 60]
RUNS += [" " * 18, "a" + " " * 5 + "b", "\n" * 9, "\t" * 5, "\U0001f600" * 5, "\u732b" * 7]
EXTRA = [*SPACES, *SPECIAL, *SYMBOLS, *UNDERLINES, *MARKS, *JOINED, *LONGER, *CONTROLS, *RUNS]

SPIECE = dict(
    model_type="unigram",
    vocab_size=400,
    character_coverage=0.98,
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    normalization_rule_name="nmt_nfkc",
)
GEMMA = dict(
    model_type="bpe",
    vocab_size=600,
    character_coverage=0.98,
    pad_id=0,
    eos_id=1,
    bos_id=2,
    unk_id=3,
    pad_piece="<pad>",
    eos_piece="<eos>",
    bos_piece="<bos>",
    normalization_rule_name="identity",
    add_dummy_prefix=False,
    remove_extra_whitespaces=False,
    allow_whitespace_only_pieces=True,
    split_digits=True,
    byte_fallback=True,
    user_defined_symbols=[
        "<mask>",
        *("\n" * count for count in range(1, 5)),
        *("\u2581" * count for count in range(2, 6)),
        *("<table>", "</table>", "<s>", "</s>"),
        *("\t" * count for count in range(2, 4)),
    ],
)


def train(settings: dict) -> bytes:
    """On the short texts, the English ones more often: most of the other letters stay unknown, as tabs do."""
    texts = [" ".join(text.split()) for text in TEXTS if len(text) < 200]
    texts = [text for text in texts for _ in range(8 if text.isascii() else 1)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts, *(text.lower() for text in texts)]),
        model_writer=model,
        num_threads=1,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


def make() -> None:
    texts = [*TEXTS, *EXTRA]
    golden = {"reference": f"sentencepiece {sentencepiece.__version__}", "extra_texts": EXTRA}
    for name, settings in {"spiece": SPIECE, "gemma": GEMMA}.items():
        model = train(settings)
        (HERE / f"tiny_{name}.model").write_bytes(model)
        encode = sentencepiece.SentencePieceProcessor(model_proto=model).encode
        golden[name] = encode(texts)
        golden[f"{name}_lower"] = encode([text.lower() for text in texts])
        golden[f"{name}_canonical"] = encode([transformers_canonical(text) for text in texts])
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {json.dumps(row)}" for row in value)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    (HERE / "tokens_sentence_piece.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
