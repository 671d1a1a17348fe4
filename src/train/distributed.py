"""Data parallelism: every rank trains on its own rows, gradients are averaged over all ranks.

The launchers start the processes; here one finds out which it is. MindSpore's data-parallel context and
gradient reducer are used in this module alone.
"""

import dataclasses

import mindspore as ms
from mindspore import nn, ops
from mindspore.communication import get_group_size, get_rank, init

from ..errors import UserError

START = "start the run with a launcher, scripts/run_distributed_*.sh"


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's place among the processes of a run. Rank 0 alone writes files."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self):
        """True for the one process that writes the log, checkpoints and models."""
        return self.rank == 0


def join_ranks(config):
    """Join the process group that the launcher made, when `config.distribute` is on.

    Rank and size come from the group, never from device_id. Raises UserError when there is no group, or
    another number of processes than `config.device_num` (where that is given).
    """
    if not config.distribute:
        if config.device_num > 1:
            raise UserError(f"--device_num {config.device_num} without --distribute: {START}")
        return Ranks()
    try:
        init()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--distribute: there is no process group to join ({reason}); {START}") from None
    ranks = Ranks(get_rank(), get_group_size())
    if config.device_num not in (0, ranks.size):
        raise UserError(f"--device_num is {config.device_num}, but {ranks.size} processes were started")
    ms.set_auto_parallel_context(
        parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=ranks.size
    )
    return ranks


def gradient_reducer(parameters, ranks):
    """The cell that averages gradients over the ranks, or None for a single process."""
    if ranks.size == 1:
        return None
    return nn.DistributedGradReducer(parameters, mean=True, degree=ranks.size)


def any_rank(ranks):
    """A function from this rank's wish (a bool) to all ranks' decision: true when any of them wishes.

    Every rank has to call it at the same step. None for a single process, which asks nobody.
    """
    if ranks.size == 1:
        return None
    total = ops.AllReduce()
    return lambda wish: bool(total(ms.Tensor([float(wish)], ms.float32)).asnumpy()[0])


def all_reduce_sum(ranks):
    """A function from this rank's numbers to the sums of all ranks', in float32; every rank has to call it.

    None for a single process.
    """
    if ranks.size == 1:
        return None
    total = ops.AllReduce()
    return lambda numbers: total(ms.Tensor(numbers, ms.float32)).asnumpy().tolist()


class AllReduceMax(nn.Cell):
    """The largest of the ranks' numbers. Construct: x [1] -> [1], not finite where one of them is not."""

    def __init__(self, ranks):
        super().__init__()
        self.own_place = ms.Tensor([float(rank == ranks.rank) for rank in range(ranks.size)], ms.float32)
        self.total = ops.AllReduce()  # the sum is the only reduction on a CPU

    def construct(self, x):
        numbers = self.total(x * self.own_place)
        # The maximum alone passes over NaN; a difference with itself is zero for numbers only.
        return ops.ReduceMax(keep_dims=True)(numbers) + (numbers - numbers).sum()


def all_reduce_max(ranks):
    """A AllReduceMax, or None for a single process."""
    return None if ranks.size == 1 else AllReduceMax(ranks)
