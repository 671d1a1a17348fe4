"""Flags of the teacher cache, shared by the stages that have a teacher, and those of its tool."""

import dataclasses

from .fields import POSITIVE, flag

FOLDER = "teacher_cache"  # beside the folder of a run


@dataclasses.dataclass(frozen=True)
class TeacherCacheConfig:
    """What of a teacher's answers is kept for later epochs and runs, and where."""

    teacher_cache: str = flag(
        "auto",
        "keep what the teacher says for later epochs, seeds and students: full, logits (phase 2 alone), off; "
        "auto is full up to teacher_cache_limit_gb and a quarter of the free disk, else logits, else off",
        ("auto", "off", "logits", "full"),
    )
    teacher_cache_dir: str = flag("", f"where caches are kept (default: {FOLDER} beside output_dir)")
    teacher_cache_limit_gb: float = flag(10.0, "largest cache that is written, in GB", check=POSITIVE)


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """Show the teacher caches of a folder, or delete them."""

    list: bool = flag(False, "show each cache: key, size, what it is of; what it does when told nothing")
    delete: str = flag("", "the key of a cache to delete, or all")
    teacher_cache_dir: str = flag(f"output/{FOLDER}", "the folder of the caches")
