#!/usr/bin/env python3
"""Writes a random Llama of 0.4 billion parameters in bfloat16 as a Hugging Face folder, with a byte-level tokenizer.

    python Benchmarks/make_llama.py FOLDER [--seed 0]

Needs torch, transformers and tokenizers. Every character of plain text is one token, so a prompt's length is known.
"""
import argparse, json, os
import torch
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()

torch.manual_seed(a.seed)
config = LlamaConfig(
    vocab_size=32000, hidden_size=1024, intermediate_size=4096, num_hidden_layers=22, num_attention_heads=16,
    num_key_value_heads=8, max_position_embeddings=4096, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
    tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
model = LlamaForCausalLM(config).to(torch.bfloat16)
model.save_pretrained(a.folder)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + [chr(b) for b in range(33, 127)] + ["▁"]
tokens += [f"<filler{i}>" for i in range(config.vocab_size - len(tokens))]
special = [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} for i in range(3)]
tokenizer = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    "pre_tokenizer": None, "post_processor": None,
    "decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
    "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
              "vocab": {token: i for i, token in enumerate(tokens)}, "merges": []}}
settings = {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
            "add_bos_token": True, "add_eos_token": False}
for name, value in (("tokenizer.json", tokenizer), ("tokenizer_config.json", settings)):
    with open(os.path.join(a.folder, name), "w") as file:
        json.dump(value, file)
