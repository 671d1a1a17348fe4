"""python -m src.tools.rank_table: validate Ascend's hccl.json; print local ranks and devices."""

from __future__ import annotations

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import POSITIVE, flag, required_flag
from ..errors import UserError, run_main
from ..json_reader import read_object

VERSION = "1.0"
MAX_DEVICE, MAX_RANK = 63, 99_999  # of a server, of a cluster: far above those that exist
NUMBER = (str, int)  # tables have numbers as text
TABLE = {
    "version": str,
    "status": str,
    "server_count?": NUMBER,
    "server_list": [
        {"server_id": str, "device": [{"device_id": NUMBER, "device_ip": str, "rank_id": NUMBER}]}
    ],
}
SHOWN = 40  # characters of a value in an error message


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
    _check_unique(path, "device_ip", [device.device_ip for device in devices])
    _check_unique(
        path, "device_id", [f"{device.device_id} of server {device.server_id}" for device in devices]
    )
    ranks = sorted(device.rank_id for device in devices)
    if ranks != list(range(len(devices))):
        raise UserError(f"{path}: rank_id must count from 0 to {len(devices) - 1}, found {_short(ranks)}")
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
    """The devices of a rank table, each entry valid in itself."""
    table = read_object(path, TABLE, f"generate the table again, in version {VERSION}")
    servers = table["server_list"]
    for key, found, expected in (
        ("version", table["version"], VERSION),
        ("status", table["status"], "completed"),
        ("server_count", str(table.get("server_count", len(servers))), str(len(servers))),
    ):
        if found != expected:
            raise UserError(f"{path}: {key} is {_short(found)}, not {expected!r}; generate the table again")
    devices = []
    for number, server in enumerate(servers):
        place = f"{path}: server_list[{number}]"
        if not (server["server_id"].isprintable() and 0 < len(server["server_id"]) <= SHOWN):
            raise UserError(f"{place}: server_id {_short(server['server_id'])} is not a name")
        place += f" ({server['server_id']})"
        if not server["device"]:
            raise UserError(f"{place} has no device; remove it, or generate the table again")
        devices += [
            _device(f"{place}, device[{index}]", server["server_id"], entry)
            for index, entry in enumerate(server["device"])
        ]
    _check_unique(path, "server_id", [server["server_id"] for server in servers])
    return devices


def _device(place: str, server_id: str, entry: Mapping[str, Any]) -> Device:
    """The device of an entry. Raises UserError that names its `place` and the key."""
    try:
        ipaddress.ip_address(entry["device_ip"])
    except ValueError:
        raise UserError(f"{place}: device_ip {_short(entry['device_ip'])} is not an IP address") from None
    numbers = {}
    for key, limit in (("device_id", MAX_DEVICE), ("rank_id", MAX_RANK)):
        text = str(entry[key])
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= limit):
            raise UserError(f"{place}: {key} {_short(entry[key])} is not a number from 0 to {limit}")
        numbers[key] = int(text)
    return Device(server_id, numbers["device_id"], entry["device_ip"], numbers["rank_id"])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


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
