"""The mathematics in torch, and the values that describe it.

Importing this package gives the values only (models, weights of samples, optimiser, schedules) and loads no
torch; the arithmetic is in the modules: `from models.build import build`. Knows nothing of ray, of the
pipeline, or of files other than model files.
"""

from models.optim_config import WSD, AdamW, Cosine, Linear
from models.presets import SHAPES, Llama, Lost, LowRank, Shape, SLTrain
from models.reweight_config import Extremes, LinUpper, Quadratic, Uniform

# recipe name -> value, by the field of a node that takes it
MODELS = {"llama": Llama, "low_rank": LowRank, "lost": Lost, "sltrain": SLTrain}
REWEIGHTS = {"uniform": Uniform, "lin_upper": LinUpper, "quadratic": Quadratic, "extremes": Extremes}
OPTIMISERS = {"adamw": AdamW}
SCHEDULES = {"cosine": Cosine, "wsd": WSD, "linear": Linear}

__all__ = [
    "MODELS",
    "OPTIMISERS",
    "REWEIGHTS",
    "SCHEDULES",
    "SHAPES",
    "WSD",
    "AdamW",
    "Cosine",
    "Extremes",
    "LinUpper",
    "Linear",
    "Llama",
    "Lost",
    "LowRank",
    "Quadratic",
    "SLTrain",
    "Shape",
    "Uniform",
]
