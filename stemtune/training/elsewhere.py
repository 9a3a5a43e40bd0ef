"""A training of a head that an engine runs, in whichever process."""

from dataclasses import dataclass

from stemtune.training import features, heads
from stemtune.training.dataset import Load
from stemtune.training.heads import HeadPlan, TrainedHead
from stemtune.training.kept import Kept
from stemtune.training.progress import Tell, nobody


@dataclass(frozen=True)
class HeadTask:
    """A training, and what it is trained on; it can be pickled."""

    plan: HeadPlan
    load: Load


def train(title: str, memory: Kept, task: HeadTask, tell: Tell = nobody) -> TrainedHead:
    """Trains a head as `heads.train`, on features that are loaded where it runs."""
    return heads.train(task.plan, features.once(task.load), title, tell, memory=memory)
