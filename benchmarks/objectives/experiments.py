"""Do the published objectives do what they claim? Models of 0.15 million parameters on the embedded corpus, by the
project's own training loop. A claim may also be that nothing happens.
"""

from __future__ import annotations

from benchmarks.evidence.claims import Claim, Experiment
from benchmarks.objectives.late import emo, half_tuning
from benchmarks.objectives.mixed import curricula, infill, phases, priors

# What goes on from a trained model goes on from one of twice as many steps.
EXPERIMENTS = (
    Experiment(
        name="emo", run=emo, steps=100,
        about="EMO: the cosine between the expected and the wanted row of the head, and the loss.",
        claims=(
            Claim(what="cosine: emo - plain", one="emo cosine", other="plain cosine", least=0.0),
            Claim(what="cosine: fixed - plain", one="fixed cosine", other="plain cosine", least=0.0),
            Claim(what="cosine: shuffled costs - plain (control)", one="shuffled cosine", other="plain cosine"),
            Claim(what="loss: emo - plain", one="emo loss", other="plain loss", percent=True, most=1.0),
            Claim(what="loss: fixed - plain", one="fixed loss", other="plain loss", percent=True),
        ),
    ),
    Experiment(
        name="half_tuning", run=half_tuning, steps=120,
        about="Half tuning: loss on a first text where a second is learned as well (four rates), and at equal steps.",
        claims=(
            Claim(
                what="first text, at equal gain: half - full",
                one="half at equal gain", other="full at the gain of half", most=0.0,
            ),
            Claim(
                what="first text, at equal gain: layer - full",
                one="layer at equal gain", other="full at the gain of layer", most=0.0,
            ),
            Claim(what="first text, equal steps: half - full", one="half 0.004 kept", other="full 0.004 kept"),
            Claim(what="second text, equal steps: half - full", one="half 0.004 learned", other="full 0.004 learned"),
            Claim(what="forgotten by full", one="full 0.004 kept", other="before kept"),
        ),
    ),
    Experiment(
        name="infill", run=infill, steps=600,
        about="Filling in: the share of names that only the text behind a gap tells, and the loss from left to right.",
        claims=(
            Claim(what="names filled in: infill - plain", one="infill filled", other="plain filled", least=0.1),
            Claim(
                what="loss from left to right: infill - plain",
                one="infill loss", other="plain loss", percent=True, most=2.0,
            ),
        ),
    ),
    Experiment(
        name="phases", run=phases, steps=300,
        about="Two phases: a linear probe for the class of the next token.",
        claims=(
            Claim(what="probe: causal, then masks - masks", one="both", other="masks", least=0.0),
            Claim(what="probe: masks - causal", one="masks", other="causal", least=0.0),
        ),
    ),
    Experiment(
        name="curricula", run=curricula, steps=240,
        about="Curricula: the loss after an order by difficulty, or with a vocabulary that grows.",
        claims=(
            Claim(what="loss: easy first - none", one="easy first", other="none", percent=True, most=1.0),
            Claim(what="loss: hard first - none (control)", one="hard first", other="none", percent=True),
            Claim(what="loss: vocabulary - none", one="vocabulary", other="none", percent=True, most=1.0),
        ),
    ),
    Experiment(
        name="priors", run=priors, steps=60,
        about="Priors: the loss on clean text after a tenth of noise, and the weight that the noise was given.",
        claims=(
            Claim(what="weight of the noise - its share", one="noise weight", other="noise share", most=0.0),
            Claim(what="loss: prior in the loss - none", one="in the loss", other="none", percent=True, most=0.0),
            Claim(what="loss: prior in the sampler - none", one="in the sampler", other="none", percent=True, most=0.0),
        ),
    ),
)  # fmt: skip
