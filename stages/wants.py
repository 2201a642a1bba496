"""What a field asks of the node in it, as its type hint: the node must give that (`Node.gives`).

A field that a node takes its rows from needs no such hint: it takes documents.
"""

from __future__ import annotations

from typing import Annotated

from pipeline.contract import Gives, Node

Documents = Annotated[Node, Gives(("documents",))]
TokenizerNode = Annotated[Node, Gives(("tokenizer",), ("tokenizer", "vocabulary"))]
PackedRows = Annotated[Node, Gives(("packed rows",), ("pack", "pack_samples"))]
RowsOrDocuments = Annotated[Node, Gives(("packed rows", "documents"), ("pack", "pack_samples"))]
TrainedNode = Annotated[Node, Gives(("model",), ("pretrain", "hf_model"))]
ModelOrFolder = Annotated[Node, Gives(("model", "model folder"), ("pretrain", "hf_model", "export", "model_folder"))]
ModelFiles = Annotated[Node, Gives(("model folder",), ("model_folder",))]
Evaluation = Annotated[Node, Gives(("evaluation",), ("evaluate",))]
Scored = Annotated[
    Node, Gives(("evaluation", "measure"), ("evaluate", "measure", "win_rate", "retrieval", "needle", "unit_distance"))
]
WinRates = Annotated[Node, Gives(("measure",), ("win_rate",))]
EvaluationOrModel = Annotated[Node, Gives(("evaluation", "model"), ("evaluate", "pretrain"))]
QualityModel = Annotated[Node, Gives(("quality model",), ("train_quality", "fasttext_model"))]
NgramModel = Annotated[Node, Gives(("n-gram model",), ("train_ngram",))]
UnitsModel = Annotated[Node, Gives(("units",), ("train_units",))]
Classifier = Annotated[Node, Gives(("classifier",), ("train_classifier",))]
TrainedHead = Annotated[Node, Gives(("head",), ("train_head",))]
Clusters = Annotated[Node, Gives(("clusters",), ("train_clusters",))]
