"""python -m src.tools.rank_table: checks Ascend's hccl.json; prints rank and device of each local process."""

import dataclasses
from collections import Counter

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import POSITIVE, flag, required_flag
from ..errors import UserError, run_main
from ..files import read_json


@dataclasses.dataclass(frozen=True)
class RankTableConfig:
    """Check a rank table and list the processes to start on one server."""

    rank_table: str = required_flag("the table, hccl.json")
    device_num: int = flag(1, "devices that it must list, over all servers", check=POSITIVE)
    server_id: str = flag("", "the server to list, where the table has several")


@dataclasses.dataclass(frozen=True)
class Place:
    """One device of the table."""

    server_id: str
    device_id: int
    device_ip: str
    rank_id: int


def local_places(config):
    """The Places of `config.server_id`, by rank. Raises UserError when the table cannot be used."""
    path, places = config.rank_table, _places(config.rank_table)
    if len(places) != config.device_num:
        raise UserError(f"{path} lists {len(places)} devices, the run is for {config.device_num}")
    _refuse_doubles(path, "device_ip", [place.device_ip for place in places if place.device_ip])
    _refuse_doubles(path, "device_id of one server", [(p.server_id, p.device_id) for p in places])
    ranks = sorted(place.rank_id for place in places)
    if ranks != list(range(len(places))):
        raise UserError(f"{path}: rank_id has to count from 0 to {len(places) - 1}, found {ranks}")
    servers = sorted({place.server_id for place in places})
    if config.server_id and config.server_id not in servers:
        raise UserError(f"{path} has no server {config.server_id}; it has {', '.join(servers)}")
    if len(servers) > 1 and not config.server_id:
        raise UserError(
            f"{path} has {len(servers)} servers ({', '.join(servers)}); say which one this is: SERVER_ID=..."
        )
    here = config.server_id or servers[0]
    return sorted((p for p in places if p.server_id == here), key=lambda place: place.rank_id)


def _places(path):
    table = read_json(path)
    try:
        status, servers = table.get("status"), table["server_list"]
        places = [
            Place(
                str(server["server_id"]),
                int(device["device_id"]),
                str(device.get("device_ip", "")),
                int(device["rank_id"]),
            )
            for server in servers
            for device in server["device"]
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a rank table of version 1.0 ({type(error).__name__}: {error}); it needs "
            "server_list with server_id and device, each device with device_id, device_ip and rank_id"
        ) from None
    if status != "completed":
        raise UserError(f"{path}: status is {status!r}, not 'completed'; make the table anew")
    return places


def _refuse_doubles(path, what, values):
    doubled = [value for value, count in Counter(values).items() if count > 1]
    if doubled:
        shown = doubled[0][1] if isinstance(doubled[0], tuple) else doubled[0]
        raise UserError(f"{path}: {what} {shown} is there twice; each device has its own")


def main(argv=None):
    """One line a process: rank_id device_id."""
    config = parse(RankTableConfig, argv, prog=command_line("rank_table")).config
    for place in local_places(config):
        print(place.rank_id, place.device_id)


if __name__ == "__main__":
    run_main(main)
