"""A llama model of random weights in a GGUF file of about 130 kB: it speaks nonsense, quickly."""

from pathlib import Path

import gguf
import numpy as np

CONTEXT = 256
"""Tokens that it was made for."""
_WIDTH = 32
_BYTES = 256
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write(path: Path, context: int = CONTEXT) -> None:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(_BYTES))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [
        gguf.TokenType.BYTE
    ] * _BYTES
    tokens += [f"\u2581{letter}" for letter in _LETTERS] + list(_LETTERS)
    kinds += [gguf.TokenType.NORMAL] * (2 * len(_LETTERS))
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2 * _WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // 2)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:")
    _weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _weights(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    random = np.random.default_rng(5)
    shapes = {"token_embd": (vocabulary, _WIDTH), "output": (vocabulary, _WIDTH)}
    shapes |= {f"blk.0.attn_{name}": (_WIDTH, _WIDTH) for name in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{name}": (2 * _WIDTH, _WIDTH) for name in ("gate", "up")}
    shapes |= {"blk.0.ffn_down": (_WIDTH, 2 * _WIDTH)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (random.normal(size=shape) * 0.3).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, np.float32))
