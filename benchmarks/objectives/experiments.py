"""Do the published objectives do what they claim? Models of 0.15 million parameters, of a million for vectors and
guides, and one real base, by the project's own training loop. A claim may also be that nothing happens.
"""

from __future__ import annotations

from benchmarks.evidence.claims import Claim, Experiment
from benchmarks.objectives.cuts import cut
from benchmarks.objectives.guides import guides
from benchmarks.objectives.late import emo, half_tuning
from benchmarks.objectives.mixed import curricula, infill, phases, priors
from benchmarks.objectives.real_base import real_base
from benchmarks.objectives.vectors import exclusive_or

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
        name="real_base", run=real_base, steps=8,
        about="Half tuning and EMO from SmolLM2-135M-Instruct: loss on the book of Rust (kept) where the Jargon File "
        "is learned, of which it knows least; 390 tokens a step.",
        claims=(
            Claim(
                what="kept, at equal gain: half - full", one="half at equal gain", other="full at equal gain", most=0.0
            ),
            Claim(what="kept, equal steps: half - full", one="half 0.0003 kept", other="full 0.0003 kept"),
            Claim(what="learned, equal steps: half - full", one="half 0.0003 learned", other="full 0.0003 learned"),
            Claim(what="cosine: emo - full", one="emo cosine", other="full cosine", least=0.0),
            Claim(what="learned: emo - full", one="emo learned", other="full 0.0003 learned", percent=True, most=1.0),
            Claim(what="kept: emo - full", one="emo kept", other="full 0.0003 kept"),
            Claim(what="learned by full", one="full 0.0003 learned", other="before learned"),
            Claim(what="forgotten by full", one="full 0.0003 kept", other="before kept"),
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
    Experiment(
        name="exclusive_or", run=exclusive_or, steps=300,
        about="Vectors: a linear probe for the exclusive or of a text's first and last word, of the mean over all "
        "words but the last; the share of right answers, of 4,000.",
        claims=(
            Claim(what="causal - chance", one="causal", other="chance", least=-0.05, most=0.05),
            Claim(what="echo - chance", one="echo", other="chance", least=0.4),
            Claim(what="MNTP - chance", one="MNTP", other="chance", least=0.4),
            Claim(what="both sides seen, not trained - chance", one="both sides", other="chance"),
        ),
    ),
    Experiment(
        name="cut", run=cut, steps=100,
        about="Matryoshka: recall@1 of the second part of a page by its first one, among 100 pages, whole and by an "
        "eighth of the numbers.",
        claims=(
            Claim(what="Matryoshka: an eighth - whole", one="Matryoshka cut", other="Matryoshka whole", percent=True,
                  least=-5.0),
            Claim(what="plain: an eighth - whole", one="plain cut", other="plain whole", percent=True),
            Claim(what="lost by the cut: plain - Matryoshka", one="plain lost", other="Matryoshka lost", least=0.0),
            Claim(what="whole: Matryoshka - plain", one="Matryoshka whole", other="plain whole"),
        ),
    ),
    Experiment(
        name="guides", run=guides, steps=60,
        about="GeDi: answers to neutral prompts by a model of two topics, steered to one of them.",
        claims=(
            Claim(what="of the topic: no guide", one="no guide: of the topic", other="none"),
            Claim(what="of the topic: omega 1", one="omega 1: of the topic", other="none", least=0.9),
            Claim(what="of the topic: omega .1 - 0", one="omega .1: of the topic", other="omega 0: of the topic",
                  least=0.0),
            Claim(what="of the topic: omega 1 - .1", one="omega 1: of the topic", other="omega .1: of the topic",
                  least=0.0),
            Claim(what="of the topic: omega 30 - 1", one="omega 30: of the topic", other="omega 1: of the topic",
                  least=0.0),
            Claim(what="nats a token: omega 1 - no guide", one="omega 1: nats", other="no guide: nats", percent=True,
                  most=10.0),
            Claim(what="nats a token: omega 30, rho .2, tau .8 - no guide", one="rho and tau: nats",
                  other="no guide: nats", percent=True, most=10.0),
            Claim(what="different pairs of words, omega 30: rho .2 - no filter", one="rho: bigrams",
                  other="omega 30: bigrams", most=0.0),
            Claim(what="different pairs of words, omega 30, rho .2: tau .8 - none", one="rho and tau: bigrams",
                  other="rho: bigrams", least=0.0),
        ),
    ),
)  # fmt: skip
