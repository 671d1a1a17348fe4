"""python -m src.tools.rank_table: validate Ascend's hccl.json; print local ranks and devices."""

from __future__ import annotations

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections import Counter
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import POSITIVE, flag, required_flag
from ..errors import UserError, run_main
from ..json_reader import read_json


@dataclasses.dataclass(frozen=True)
class RankTableConfig:
    """Validate a rank table (hccl.json, version 1.0) and list the processes to start on one server."""

    rank_table: str = required_flag("rank table, hccl.json")
    device_num: int = flag(1, "expected number of devices, over all servers", check=POSITIVE)
    server_id: str = flag("", "server to list, if the table has several")


@dataclasses.dataclass(frozen=True)
class Device:
    """A device in the rank table."""

    server_id: str
    device_id: int
    device_ip: str
    rank_id: int


def local_devices(config: RankTableConfig) -> list[Device]:
    """The Devices of `config.server_id`, by rank. Raises UserError for an invalid table."""
    path, devices = config.rank_table, _read_devices(config.rank_table)
    if len(devices) != config.device_num:
        raise UserError(f"{path} lists {len(devices)} devices, but the run is for {config.device_num}")
    _check_unique(path, "device_ip", [device.device_ip for device in devices if device.device_ip])
    _check_unique(
        path, "device_id", [f"{device.device_id} of server {device.server_id}" for device in devices]
    )
    ranks = sorted(device.rank_id for device in devices)
    if ranks != list(range(len(devices))):
        raise UserError(f"{path}: rank_id must count from 0 to {len(devices) - 1}, found {ranks}")
    servers = sorted({device.server_id for device in devices})
    if config.server_id and config.server_id not in servers:
        raise UserError(f"{path} has no server {config.server_id}; it has {', '.join(servers)}")
    if len(servers) > 1 and not config.server_id:
        raise UserError(
            f"{path} has {len(servers)} servers ({', '.join(servers)}); set SERVER_ID to this one"
        )
    here = config.server_id or servers[0]
    return sorted((device for device in devices if device.server_id == here), key=lambda each: each.rank_id)


def _read_devices(path: str) -> list[Device]:
    table = read_json(path)
    try:
        status, servers = table.get("status"), table["server_list"]
        devices = [
            Device(
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
            f"{path} is not a rank table of version 1.0 ({type(error).__name__}: {error}); it must have a "
            "server_list with server_id and device, each device with device_id, device_ip and rank_id"
        ) from None
    if status != "completed":
        raise UserError(f"{path}: status is {status!r}, not 'completed'; generate the table again")
    return devices


def _check_unique(path: str, name: str, values: list[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: duplicate {name} {repeated[0]}")


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per process: rank_id device_id."""
    for device in local_devices(parse(RankTableConfig, argv, prog=command_line("rank_table")).config):
        print(device.rank_id, device.device_id)


if __name__ == "__main__":
    run_main(main)
