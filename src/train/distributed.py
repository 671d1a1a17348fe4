"""Data parallelism: each rank trains on its own rows, gradients are averaged over all ranks.

The launchers start the processes; each process finds its rank here. Collective operators are used in this
module alone.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init

from ..config.train_config import LoopConfig
from ..errors import UserError

START = "start the run with a launcher, scripts/run_distributed_*.sh"


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's rank and the number of processes. Rank 0 alone writes files."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """True for the one process that writes the log, checkpoints and models."""
        return self.rank == 0


def join_ranks(config: LoopConfig) -> Ranks:
    """Join the launcher's process group if `config.distribute` is on.

    Rank and size come from the group, never from device_id. Raises UserError if there is no group, or if its
    size differs from `config.device_num` (where given).
    """
    if not config.distribute:
        if config.device_num > 1:
            raise UserError(f"--device_num {config.device_num} without --distribute: {START}")
        return Ranks()
    table = os.environ.get("RANK_TABLE_FILE")
    if table and "MS_ROLE" not in os.environ and not os.path.isfile(table):
        raise UserError(f"RANK_TABLE_FILE {table} does not exist; {START}")
    try:
        init()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--distribute: there is no process group to join ({reason}); {START}") from None
    ranks = Ranks(get_rank(), get_group_size())
    if config.device_num not in (0, ranks.size):
        raise UserError(f"--device_num is {config.device_num}, but {ranks.size} processes were started")
    return ranks


def gradient_reducer(parameters: Sequence[Parameter], ranks: Ranks) -> nn.Cell | None:
    """The cell that averages gradients over the ranks; None for a single process."""
    if ranks.size == 1:
        return None
    return nn.DistributedGradReducer(parameters, mean=True, degree=ranks.size)


def any_rank(ranks: Ranks) -> Callable[[bool], bool] | None:
    """A function that is true on every rank if its argument is true on any; None for a single process.

    Every rank has to call it at the same step.
    """
    if ranks.size == 1:
        return None
    total = ops.AllReduce()
    return lambda flag: bool(total(Tensor([float(flag)], ms.float32)).asnumpy()[0])


def all_reduce_sum(ranks: Ranks) -> Callable[[Sequence[float]], list[float]] | None:
    """A function from this rank's numbers to their sums over the ranks, in float32; None for one process.

    Every rank has to call it.
    """
    if ranks.size == 1:
        return None
    total = ops.AllReduce()
    return lambda numbers: total(Tensor(numbers, ms.float32)).asnumpy().tolist()


class AllRanks(nn.Cell):
    """Logical AND over the ranks. Construct: flag (bool scalar) -> bool scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.total = ops.AllReduce()  # the sum is the only reduction on a CPU

    def construct(self, flag: Tensor) -> Tensor:
        return (self.total(1.0 - flag.astype(ms.float32).reshape(1)) == 0).reshape(())


def all_ranks(ranks: Ranks) -> AllRanks | None:
    """AllRanks, or None for a single process."""
    return None if ranks.size == 1 else AllRanks()


class AllReduceMax(nn.Cell):
    """The maximum over the ranks. Construct: x [1] -> [1], not finite where one rank's x is not."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.one_hot = Tensor([float(rank == ranks.rank) for rank in range(ranks.size)], ms.float32)
        self.total = ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        numbers = self.total(x * self.one_hot)
        # ReduceMax ignores NaN; the difference x - x is zero for finite numbers only.
        return ops.ReduceMax(keep_dims=True)(numbers) + (numbers - numbers).sum()


def all_reduce_max(ranks: Ranks) -> AllReduceMax | None:
    """AllReduceMax, or None for a single process."""
    return None if ranks.size == 1 else AllReduceMax(ranks)
