"""Tiny random models whose text encoder is a BERT: Chinese-CLIP as transformers computes it, and XLM-RoBERTa as
OpenCLIP does."""

import json
import shutil
from pathlib import Path

import open_clip
import tokenizers
import torch
from make_families import CONTEXT, TEXTS, unigram, write_hugging_face, write_open_clip
from make_models import DTYPES, HF_VISION, MODELS, OPENAI_MEAN, OPENAI_STD, VISION, preprocessor, randomise, write_expected
from open_clip.hf_model import HFTextEncoder
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    ChineseCLIPConfig,
    ChineseCLIPModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

# Short and long ones, so that padding is in the batch, and one that is cut.
SENTENCES = ["", "一只猫的照片", "a photo of a cat.", "在海边奔跑的狗, an octopus and " + "things " * 20]
CHINESE = ["猫", "狗", "一只猫的照片", "在海边奔跑的狗", "中国山水画"]


def word_piece() -> tokenizers.Tokenizer:
    """BERT's: a Chinese character is a word, the others are put together from pieces."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    tokenizer.train_from_iterator([*TEXTS, *CHINESE], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def encode(tokenizer: tokenizers.Tokenizer, pad: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, `[texts, CONTEXT]`."""
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad)
    batch = fast(SENTENCES, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
    return batch.input_ids, batch.attention_mask


def add_sentences(folder: Path) -> None:
    """What the tokens were, for the tokenizer's test."""
    expected = json.loads((folder / "expected.json").read_text())
    write_expected(folder, {"texts": SENTENCES, **expected})


@torch.no_grad()
def make_chinese_clip(name: str, seed: int, dtype: str) -> None:
    folder = MODELS / name
    folder.mkdir(parents=True)
    tokenizer = word_piece()
    tokenizer.save(str(folder / "tokenizer.json"))
    text = dict(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        type_vocab_size=2,
        pad_token_id=0,
    )
    top = dict(projection_dim=12)
    model = ChineseCLIPModel(ChineseCLIPConfig(text_config=text, vision_config=HF_VISION, **top)).eval()
    randomise(model, seed, DTYPES[dtype])
    # transformers itself sets it to zero when it loads a file; it is masked anyway.
    model.text_model.embeddings.word_embeddings.weight[text["pad_token_id"]] = 0
    more = dict(do_center_crop=False, do_convert_rgb=True)
    size = dict(height=32, width=32)
    settings = preprocessor("ChineseCLIPImageProcessor", size, OPENAI_MEAN, OPENAI_STD, **more)
    tokens, mask = encode(tokenizer, "[PAD]")
    write_hugging_face(
        folder, model, dtype, "chinese_clip", text, HF_VISION, top, settings, tokens, attention_mask=mask
    )


def tiny_xlm_roberta(vocabulary: int, embed_dim: int) -> open_clip.CustomTextCLIP:
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT + 2,
        type_vocab_size=1,
        pad_token_id=1,
        layer_norm_eps=1e-5,
    )
    placeholder = dict(vocab_size=8, width=8, heads=1, layers=1)
    model = open_clip.CustomTextCLIP(embed_dim=embed_dim, vision_cfg=VISION, text_cfg=placeholder)
    model.text = HFTextEncoder("", embed_dim, config, pooler_type="mean_pooler", proj_type="mlp")
    # Without the layer that only another way of pooling has, as OpenCLIP makes it from a name.
    model.text.transformer = XLMRobertaModel(config, add_pooling_layer=False)
    return model.eval()


@torch.no_grad()
def make_xlm_roberta(name: str, seed: int, dtype: str) -> None:
    folder = MODELS / name
    folder.mkdir(parents=True)
    # XLM-RoBERTa's special tokens and places.
    tokenizer = unigram([*TEXTS, *CHINESE], ["<s>", "<pad>", "</s>", "<unk>"], "<s> $A </s>")
    tokenizer.save(str(folder / "tokenizer.json"))
    embed_dim = 12
    described = dict(
        embed_dim=embed_dim,
        vision_cfg=VISION,
        text_cfg=dict(
            hf_model_name="xlm-roberta-base",
            hf_tokenizer_name="xlm-roberta-base",
            hf_pooler_type="mean_pooler",
            context_length=CONTEXT,
        ),
    )
    model = tiny_xlm_roberta(tokenizer.get_vocab_size(), embed_dim)
    randomise(model, seed, DTYPES[dtype])
    tokens, _ = encode(tokenizer, "<pad>")
    preprocess = dict(mean=OPENAI_MEAN, std=OPENAI_STD, interpolation="bicubic", resize_mode="shortest")
    write_open_clip(folder, model, dtype, described, preprocess, tokens)


BERTS = {
    # folder: (how it is made, seed, data type)
    "chinese-clip-f32": (make_chinese_clip, 320, "f32"),
    "chinese-clip-f16": (make_chinese_clip, 322, "f16"),
    "openclip-xlm-roberta-f32": (make_xlm_roberta, 323, "f32"),
    "openclip-xlm-roberta-f16": (make_xlm_roberta, 321, "f16"),
}


def make() -> None:
    for name, (make_one, *arguments) in BERTS.items():
        shutil.rmtree(MODELS / name, ignore_errors=True)
        make_one(name, *arguments)
        add_sentences(MODELS / name)
        for file in (MODELS / name).iterdir():
            file.chmod(0o644)  # safetensors writes 0600
