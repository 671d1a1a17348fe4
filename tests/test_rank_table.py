"""Rank tables: what a valid one lists, and the sentence for every other one."""

import json

import pytest

from src.errors import UserError
from src.tools.rank_table import RankTableConfig, local_devices


def table(*devices, status="completed"):
    """A rank table of (server, device_id, device_ip, rank_id)."""
    servers = {}
    for server, device, ip, rank in devices:
        entry = {"device_id": str(device), "device_ip": ip, "rank_id": str(rank)}
        servers.setdefault(server, []).append(entry)
    listed = [
        {"server_id": name, "device": found, "host_nic_ip": "reserve"} for name, found in servers.items()
    ]
    return {"version": "1.0", "server_count": str(len(listed)), "server_list": listed, "status": status}


def eight():
    return [("10.0.0.1", device, f"192.1.2.{device}", device) for device in range(8)]


@pytest.mark.parametrize("changed, complaint", [
    ({0: ("10.0.0.1", 0, "192.1.2.1", 0)}, "duplicate device_ip 192.1.2.1"),
    ({0: ("10.0.0.1", 1, "192.1.2.0", 0)}, "duplicate device_id 1 of server 10.0.0.1"),
    ({7: ("10.0.0.1", 7, "192.1.2.7", 8)}, "rank_id must count from 0 to 7"),
    ({7: ("10.0.0.2", 7, "192.1.2.7", 7)}, "has 2 servers (10.0.0.1, 10.0.0.2); set SERVER_ID to this one"),
    ({7: ("10.0.0.1", "seven", "192.1.2.7", 7)}, "device[7]: device_id 'seven' is not a number from 0 to 63"),
])  # fmt: skip
def test_an_invalid_rank_table_is_one_sentence(tmp_path, changed, complaint):
    devices = eight()
    for place, device in changed.items():
        devices[place] = device
    refuse_table(tmp_path / "hccl.json", table(*devices), complaint)


@pytest.mark.parametrize("changes, complaint", [
    ({"device_id": "1" + 30 * "0"}, "server_list[0] (10.0.0.1), device[1]: device_id '1000"),
    ({"device_id": -1}, "device[1]: device_id -1 is not a number from 0 to 63"),
    ({"device_id": [1]}, "server_list[0].device[1].device_id must be a string or an integer, not a list"),
    ({"device_id": True}, "device_id must be a string or an integer, not true"),
    ({"device_ip": "300.1.1.1"}, "server_list[0] (10.0.0.1), device[1]: device_ip '300.1.1.1' is not an IP"),
    ({"device_ip": ["192.1.2.1"]}, "device[1].device_ip must be a string, not a list"),
    ({"device_ip": None}, "the key server_list[0].device[1].device_ip is missing"),
    ({"rank_id": "\u0661"}, "device[1]: rank_id '\u0661' is not a number"),
])  # fmt: skip
def test_an_invalid_device_names_its_server_and_key(tmp_path, changes, complaint):
    """At fc5fcf9 most of these were accepted; None stands for a missing key."""
    content = table(*eight())
    device = content["server_list"][0]["device"][1]
    device.update(changes)
    content["server_list"][0]["device"][1] = {k: v for k, v in device.items() if v is not None}
    refuse_table(tmp_path / "hccl.json", content, complaint)


@pytest.mark.parametrize("changes, complaint", [
    ({"version": "2.0"}, "version is '2.0', not '1.0'; generate the table again"),
    ({"version": 1.0}, "version must be a string, not 1.0; generate the table again, in version 1.0"),
    ({"status": "initializing"}, "status is 'initializing', not 'completed'"),
    ({"server_count": "2"}, "server_count is '2', not '1'"),
    ({"server_list": {}}, "server_list must be a list, not an object"),
    ({"server_list": []}, "server_count is '1', not '0'"),
    ({"server_count": 2, "server_list": [{"server_id": "a", "device": []}] * 2}, "[0] (a) has no device"),
    ({"server_list": [{"server_id": "", "device": []}]}, "server_list[0]: server_id '' is not a name"),
])  # fmt: skip
def test_an_invalid_table_names_its_key(tmp_path, changes, complaint):
    refuse_table(tmp_path / "hccl.json", {**table(*eight()), **changes}, complaint)


def test_a_second_server_that_is_empty_or_the_first_again(tmp_path):
    content = table(*eight())
    for second, complaint in (
        ({"server_id": "10.0.0.2", "device": []}, "server_list[1] (10.0.0.2) has no device; remove it"),
        ({**content["server_list"][0]}, "duplicate server_id 10.0.0.1"),
    ):
        changed = {**content, "server_count": "2", "server_list": [*content["server_list"], second]}
        refuse_table(tmp_path / "hccl.json", changed, complaint)
    refuse_table(tmp_path / "hccl.json", [], "the content must be an object, not a list")


def refuse_table(file, content, complaint):
    file.write_text(json.dumps(content))
    with pytest.raises(UserError) as refused:
        local_devices(RankTableConfig(str(file), 8))
    assert complaint in str(refused.value) and str(refused.value).startswith(str(file))


def test_local_ranks_of_a_two_server_table(tmp_path):
    devices = [(f"10.0.0.{1 + rank // 2}", rank % 2, f"192.1.2.{rank}", rank) for rank in range(4)]
    (tmp_path / "hccl.json").write_text(json.dumps(table(*devices)))
    found = local_devices(RankTableConfig(str(tmp_path / "hccl.json"), 4, "10.0.0.2"))
    assert [(device.rank_id, device.device_id) for device in found] == [(2, 0), (3, 1)]
    with pytest.raises(UserError, match="has no server 10.0.0.9"):
        local_devices(RankTableConfig(str(tmp_path / "hccl.json"), 4, "10.0.0.9"))
