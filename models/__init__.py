"""The mathematics in torch, and the values that describe it.

Importing this package gives the values only (models, weights of samples, optimiser, schedules) and loads no
torch; the arithmetic is in the modules: `from models.build import build`. Knows nothing of ray, of the
pipeline, or of files other than model files.
"""

from models.adapter import Adapter
from models.adapters.adalora import AdaLora
from models.adapters.bottleneck import Bottleneck
from models.adapters.ia3 import Ia3
from models.adapters.lora import Lora
from models.adapters.norms import Norms
from models.freeze import ByName
from models.galore import GaLore
from models.muon import Muon
from models.objective import CrossEntropy, Objective
from models.optim_config import WSD, AdamW, Constant, Cosine, Linear
from models.optimiser import Optimiser
from models.presets import Llama, Lost, LowRank
from models.reweight_config import Extremes, KlDro, LinUpper, Quadratic, Uniform
from models.shapes import SHAPES, Shape
from models.sltrain_config import SLTrain

# recipe name -> value, by the field of a node that takes it
MODELS = {"llama": Llama, "low_rank": LowRank, "lost": Lost, "sltrain": SLTrain}
REWEIGHTS = {"uniform": Uniform, "lin_upper": LinUpper, "quadratic": Quadratic, "extremes": Extremes, "kl_dro": KlDro}
OPTIMISERS = {"adamw": AdamW, "muon": Muon, "galore": GaLore}
ADAPTERS = {"lora": Lora, "adalora": AdaLora, "ia3": Ia3, "norms": Norms, "bottleneck": Bottleneck}
LR_SCHEDULES = {"cosine": Cosine, "wsd": WSD, "linear": Linear, "constant": Constant}

__all__ = [
    "ADAPTERS",
    "LR_SCHEDULES",
    "MODELS",
    "OPTIMISERS",
    "REWEIGHTS",
    "SHAPES",
    "WSD",
    "AdaLora",
    "AdamW",
    "Adapter",
    "Bottleneck",
    "ByName",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Extremes",
    "GaLore",
    "Ia3",
    "KlDro",
    "LinUpper",
    "Linear",
    "Llama",
    "Lora",
    "Lost",
    "LowRank",
    "Muon",
    "Norms",
    "Objective",
    "Optimiser",
    "Quadratic",
    "SLTrain",
    "Shape",
    "Uniform",
]
