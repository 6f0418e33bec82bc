"""Every kind of fault, with the place where a person finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.faults import Loaded
from config.load import load

HEAD = """\
park: {id: xihu-01, schedules: [zj-2024, zj-2026]}
gateway: {id: gw-1}
mqtt: {url: "mqtt://127.0.0.1:1883"}
"""
LINES = """\
lines:
  - {id: east, port: /dev/ttyRS485-1}
"""
TENANTS = """\
tenants:
  - {id: acme}
  - {id: bolt}
"""


def loaded(tmp_path: Path, text: str | bytes) -> Loaded:
    file = tmp_path / "site.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file)


def faults(tmp_path: Path, text: str | bytes) -> list[tuple[int, int, str]]:
    found = loaded(tmp_path, text)
    assert (found.config is None) == bool(found.faults)
    assert all(Path(fault.file).name == "site.yaml" for fault in found.faults)
    return [(fault.line, fault.column, fault.key) for fault in found.faults]


# what follows HEAD, LINES and TENANTS, a « before each place that must be named, and the keys of the faults there
SITES: dict[str, tuple[str, list[str]]] = {
    "an unknown meter key": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, «adress: 1, address: 1}\n",
        ["meters.0.adress"],
    ),
    "an unknown section": (
        "«metres: []\n",
        ["metres"],
    ),
    "a model that has nothing to settle on": (
        "meters:\n  - {id: m-1, line: east, protocol: modbus, unit: 1, model: «chint-ddsu666, tenant: acme}\n",
        ["meters.0.model"],
    ),
    "a point settled on a register that its meter's model lacks": (
        "meters:\n  - {id: m-1, line: east, protocol: modbus, unit: 1, model: «schneider-iem3150}\n"
        "points:\n  - {id: m-1, role: pv, register: export}\n",
        ["meters.0.model"],
    ),
    "a duplicate key": (
        "meters: []\n«meters: []\n",
        ["meters"],
    ),
    "an unknown line": (
        "meters:\n  - {id: m-1, line: «eats, protocol: dlt645-2007, address: 1}\n",
        ["meters.0.line"],
    ),
    "an unknown tenant": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1, tenant: «acne}\n",
        ["meters.0.tenant"],
    ),
    "an unknown model": (
        "meters:\n  - {id: m-1, line: east, protocol: modbus, unit: 1, model: «acrel-dtsd1353}\n",
        ["meters.0.model"],
    ),
    "a model of another protocol": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1, model: «acrel-dtsd1352}\n",
        ["meters.0.model"],
    ),
    "an unknown protocol": (
        "meters:\n  - {id: m-1, line: east, protocol: «dlt645, address: 1}\n",
        ["meters.0.protocol"],
    ),
    "a meter id twice": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1}\n  - {id: «m-1, protocol: manual}\n",
        ["meters.1.id"],
    ),
    "an id in capitals": (
        "meters:\n  - {id: «M-1, protocol: manual}\n",
        ["meters.0.id"],
    ),
    "an address as a spreadsheet leaves it": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: «2.02E+11}\n",
        ["meters.0.address"],
    ),
    "an address with letters": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: «20220831000A}\n",
        ["meters.0.address"],
    ),
    "the broadcast address": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: «999999999999}\n",
        ["meters.0.address"],
    ),
    "one address twice on a line, once short": (
        "meters:\n"
        "  - {id: m-1, line: east, protocol: dlt645-2007, address: 000000000012}\n"
        "  - {id: m-2, line: east, protocol: dlt645-1997, address: «12}\n",
        ["meters.1.address"],
    ),
    "a meter without an address": (
        "meters:\n  - «{id: m-1, line: east, protocol: dlt645-2007}\n",
        ["meters.0.address"],
    ),
    "a Modbus meter without unit and model": (
        "meters:\n  - «{id: m-1, line: east, protocol: modbus}\n",
        ["meters.0.unit", "meters.0.model"],
    ),
    "a unit above 247": (
        "meters:\n  - {id: m-1, line: east, protocol: modbus, unit: «248, model: acrel-dtsd1352}\n",
        ["meters.0.unit"],
    ),
    "unit 104 beside DL/T 645": (
        "meters:\n"
        "  - {id: m-1, line: east, protocol: modbus, unit: «104, model: acrel-dtsd1352}\n"
        "  - {id: m-2, line: east, protocol: dlt645-2007, address: 1}\n",
        ["meters.0.unit"],
    ),
    "one unit twice on a line": (
        "meters:\n"
        "  - {id: m-1, line: east, protocol: modbus, unit: 4, model: acrel-dtsd1352}\n"
        "  - {id: m-2, line: east, protocol: modbus, unit: «4, model: acrel-dtsd1352}\n",
        ["meters.1.unit"],
    ),
    "a manual meter on a line": (
        "meters:\n  - {id: m-1, «line: east, protocol: manual}\n",
        ["meters.0.line"],
    ),
    "a baud rate that nobody has": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1, baud: «2401}\n",
        ["meters.0.baud"],
    ),
    "a framing that is none": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1, framing: «8X1}\n",
        ["meters.0.framing"],
    ),
    "transformers without their multiplier": (
        "meters:\n  - «{id: m-1, line: east, protocol: dlt645-2007, address: 1, ct: 200/5}\n",
        ["meters.0.multiplier"],
    ),
    "a multiplier that transformers deny": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1, ct: 200/5, multiplier: «30}\n",
        ["meters.0.multiplier"],
    ),
    "a ct that is no ratio": (
        "meters:\n  - {id: m-1, line: east, protocol: dlt645-2007, address: 1, ct: «200}\n",
        ["meters.0.ct"],
    ),
    "a multiplier of nothing": (
        "meters:\n  - {id: m-1, protocol: manual, multiplier: «0}\n",
        ["meters.0.multiplier"],
    ),
    "an unknown meter at a point": (
        "points:\n  - id: p-1\n    meters: [{meter: «m-9}]\n",
        ["points.0.meters.0.meter"],
    ),
    "an unknown key at a point's meter": (
        "meters: [{id: m-1, protocol: manual}]\npoints:\n  - {id: p-1, meters: [{meter: m-1, «since: 2026-01-01}]}\n",
        ["points.0.meters.0.since"],
    ),
    "a point that nothing measures": (
        "points:\n  - «{id: p-1}\n",
        ["points.0.meters"],
    ),
    "an unknown parent": (
        "meters: [{id: m-1, protocol: manual}]\npoints:\n  - {id: m-1, parent: «p-0}\n",
        ["points.0.parent"],
    ),
    "parents in a circle": (
        "meters: [{id: m-1, protocol: manual}, {id: m-2, protocol: manual}]\n"
        "points:\n"
        "  - {id: m-1, parent: «m-2}\n"
        "  - {id: m-2, parent: «m-1}\n",
        ["points.0.parent", "points.1.parent"],
    ),
    "a point that is its own parent": (
        "meters: [{id: m-1, protocol: manual}]\npoints:\n  - {id: m-1, parent: «m-1}\n",
        ["points.0.parent"],
    ),
    "a schedule of its own that does not exist": (
        "meters: [{id: m-1, protocol: manual}]\npoints:\n  - {id: m-1, schedule: «zj-2025}\n",
        ["points.0.schedule"],
    ),
    "two meters at a point at once": (
        "meters: [{id: m-1, protocol: manual}, {id: m-2, protocol: manual}]\n"
        "points:\n"
        "  - id: p-1\n"
        "    meters:\n"
        "      - {meter: m-1, to: 2026-07-02}\n"
        "      - {meter: m-2, from: «2026-07-01}\n",
        ["points.0.meters.1.from"],
    ),
    "one meter at two points at once": (
        "meters: [{id: m-1, protocol: manual}]\n"
        "points:\n"
        "  - {id: p-1, meters: [{meter: m-1}]}\n"
        "  - {id: p-2, meters: [{meter: «m-1, from: 2026-07-01}]}\n",
        ["points.1.meters.0.meter"],
    ),
    "a point with the id of a meter's own": (
        "meters: [{id: m-1, protocol: manual}, {id: «m-2, protocol: manual}]\n"
        "points:\n"
        "  - {id: m-2, meters: [{meter: m-1}]}\n",
        ["meters.1.id"],
    ),
    "shares above one": (
        "meters: [{id: m-1, protocol: manual}]\n"
        "tenancies:\n"
        '  - {point: m-1, tenant: acme, share: "0.7", to: 2026-07-02}\n'
        '  - {point: m-1, tenant: bolt, share: «"0.4", from: 2026-07-01}\n',
        ["tenancies.1.share"],
    ),
    "a share above one": (
        "meters: [{id: m-1, protocol: manual}]\ntenancies:\n  - {point: m-1, tenant: acme, share: «1.5}\n",
        ["tenancies.0.share"],
    ),
    "a tenancy of no point": (
        "tenancies:\n  - {point: «p-9, tenant: acme}\n",
        ["tenancies.0.point"],
    ),
    "a tenancy of nobody": (
        "meters: [{id: m-1, protocol: manual}]\ntenancies:\n  - {point: m-1, tenant: «cord}\n",
        ["tenancies.0.tenant"],
    ),
    "a tenant at the master": (
        "meters: [{id: m-1, protocol: manual, role: master, tenant: «acme}]\n",
        ["meters.0.tenant"],
    ),
    "a tenant at a generator": (
        "meters: [{id: m-1, protocol: manual, role: pv}]\ntenancies:\n  - {point: «m-1, tenant: acme}\n",
        ["tenancies.0.point"],
    ),
    "a tenancy that begins off a slot": (
        "meters: [{id: m-1, protocol: manual}]\ntenancies:\n  - {point: m-1, tenant: acme, from: «2026-07-01 09:37}\n",
        ["tenancies.0.from"],
    ),
    "a meter change off a slot": (
        "meters: [{id: m-1, protocol: manual}, {id: m-2, protocol: manual}]\n"
        "points:\n"
        "  - id: p-1\n"
        "    meters:\n"
        "      - {meter: m-1}\n"
        "      - {meter: m-2, from: «2026-07-01T09:37:00+08:00}\n",
        ["points.0.meters.1.from"],
    ),
    "a tenancy that ends before it begins": (
        "meters: [{id: m-1, protocol: manual}]\n"
        "tenancies:\n"
        "  - {point: m-1, tenant: acme, from: 2026-07-02, to: «2026-07-01}\n",
        ["tenancies.0.to"],
    ),
    "a day that is not in the calendar": (
        "meters: [{id: m-1, protocol: manual}]\ntenancies:\n  - {point: m-1, tenant: acme, from: «2026-02-30}\n",
        ["tenancies.0.from"],
    ),
    "a list where a value belongs": (
        "meters: [{id: m-1, protocol: «[manual]}]\n",
        ["meters.0.protocol"],
    ),
    "a value where a mapping belongs": (
        "meters: [«m-1]\n",
        ["meters.0"],
    ),
    "a mapping where a list belongs": (
        "meters: «{m-1: {protocol: manual}}\n",
        ["meters"],
    ),
    "an alias of nothing": (
        "meters: [«*gone]\n",
        ["-"],
    ),
    "a tag": (
        "meters: «!table []\n",
        ["meters"],
    ),
    "a tab": (
        "meters:\n«\t- {id: m-1}\n",
        ["-"],
    ),
    "a bracket left open": (
        "meters: [{id: m-1\n«",
        ["-"],
    ),
    "an alias of itself": (
        "meters: «&m [*m]\n",
        ["meters.0"],
    ),
}


def check_marks(tmp_path: Path, marked: str, keys: list[str]) -> None:
    places = [(row, line.index("«") + 1) for row, line in enumerate(marked.split("\n"), 1) if "«" in line]
    found = faults(tmp_path, marked.replace("«", ""))
    assert sorted({(line, column) for line, column, _ in found}) == places
    assert [key for _, _, key in found] == keys


@pytest.mark.parametrize("name", SITES)
def test_a_fault_stands_where_a_person_finds_it(tmp_path: Path, name: str) -> None:
    text, keys = SITES[name]
    check_marks(tmp_path, HEAD + LINES + TENANTS + text, keys)


PARKS: dict[str, tuple[str, list[str]]] = {
    "no sections at all": (
        "«{}\n",
        ["park", "gateway"],
    ),
    "a list": (
        "«- park\n",
        ["-"],
    ),
    "an interval that divides no day": (
        "park: {id: p, interval: «7min}\ngateway: {id: g}\n",
        ["park.interval"],
    ),
    "an interval that tariffs do not fit": (
        "park: {id: p, interval: «16min, schedules: [zj-2026]}\ngateway: {id: g}\n",
        ["park.interval"],
    ),
    "an unknown schedule": (
        "park: {id: p, schedules: [«zj-2025]}\ngateway: {id: g}\n",
        ["park.schedules.0"],
    ),
    "two schedules valid at once": (
        "park: {id: p, schedules: [zj-2021-large, «zj-2021-general]}\ngateway: {id: g}\n",
        ["park.schedules.1"],
    ),
    "a closing on the 31st": (
        'park: {id: p, closings: [«"31 00:00"]}\ngateway: {id: g}\n',
        ["park.closings.0"],
    ),
    "a closing off a slot": (
        'park: {id: p, closings: [«"01 00:10"]}\ngateway: {id: g}\n',
        ["park.closings.0"],
    ),
    "an offset without a colon": (
        "park: {id: p, utc_offset: «+0800}\ngateway: {id: g}\n",
        ["park.utc_offset"],
    ),
    "a clock that is neither": (
        "park: {id: p}\ngateway: {id: g, clock: «ntp}\n",
        ["gateway.clock"],
    ),
    "no park id": (
        "park: «{name: x}\ngateway: {id: g}\n",
        ["park.id"],
    ),
    "plain MQTT to the world": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: «mqtt://broker.example}\n",
        ["mqtt.url"],
    ),
    "a plain WebSocket to the world": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: «ws://broker.example/mqtt}\n",
        ["mqtt.url"],
    ),
    "a WebSocket with a question": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: «'wss://broker.example/mqtt?token=x'}\n",
        ["mqtt.url"],
    ),
    "a path without a WebSocket": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: «mqtts://broker.example/mqtt}\n",
        ["mqtt.url"],
    ),
    "a password in the file": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: mqtts://b, «password: x}\n",
        ["mqtt.password"],
    ),
    "a password in the URL": (
        'park: {id: p}\ngateway: {id: g}\nmqtt: {url: «"mqtts://u:pw@b"}\n',
        ["mqtt.url"],
    ),
    "a certificate without its key": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: mqtts://b, cert_file: «c.pem}\n",
        ["mqtt.cert_file"],
    ),
    "an auditor's key that is none": (
        "park: {id: p}\ngateway: {id: g}\nmqtt: {url: mqtts://b, auditors: [«audit.example/zj-1+xxxxxxxx+AAAA]}\n",
        ["mqtt.auditors.0"],
    ),
    "a status page for everybody": (
        "park: {id: p}\ngateway: {id: g}\nweb: {listen: «0.0.0.0:8080}\n",
        ["web.listen"],
    ),
    "a status page at a name": (
        "park: {id: p}\ngateway: {id: g}\nweb: {listen: «gateway.example:8080}\n",
        ["web.listen"],
    ),
    "a status page without a port": (
        'park: {id: p}\ngateway: {id: g}\nweb: {listen: «"127.0.0.1"}\n',
        ["web.listen"],
    ),
    "one port for two lines": (
        "park: {id: p}\ngateway: {id: g}\nlines:\n  - {id: a, port: /dev/x}\n  - {id: b, port: «/dev/x}\n",
        ["lines.1.port"],
    ),
    "a port that is neither file nor socket": (
        "park: {id: p}\ngateway: {id: g}\nlines:\n  - {id: a, port: «ttyUSB0}\n",
        ["lines.0.port"],
    ),
    "a port without a number": (
        "park: {id: p}\ngateway: {id: g}\nlines:\n  - {id: a, port: «socket://10.0.0.5}\n",
        ["lines.0.port"],
    ),
    "a direction that nobody switches": (
        "park: {id: p}\ngateway: {id: g}\nlines:\n  - {id: a, port: /dev/x, direction: «cts}\n",
        ["lines.0.direction"],
    ),
    "an echo of neither": (
        "park: {id: p}\ngateway: {id: g}\nlines:\n  - {id: a, port: /dev/x, echo: «maybe}\n",
        ["lines.0.echo"],
    ),
    "a control character": (
        "park: {id: p}\ngateway: {id: «\x01}\n",
        ["-"],
    ),
}


@pytest.mark.parametrize("name", PARKS)
def test_a_fault_of_park_gateway_or_line_stands_in_its_place(tmp_path: Path, name: str) -> None:
    text, keys = PARKS[name]
    check_marks(tmp_path, text, keys)


def test_a_file_that_is_not_utf8_is_refused_at_the_byte(tmp_path: Path) -> None:
    assert faults(tmp_path, "park: {id: p}\n# 园 ".encode() + "湖".encode("gb18030")) == [(2, 5, "-")]


def test_a_missing_file_is_one_fault(tmp_path: Path) -> None:
    [fault] = load(tmp_path / "gone.yaml").faults
    assert (fault.line, fault.column, fault.key) == (1, 1, "-")
    assert "cannot read" in str(fault)


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "park: {id: P, interval: 7min}\ngateway: {id: g, clock: x}\nlines: [{id: a, port: /dev/x, baud: 1}]\n"
        "meters:\n  - {id: m-1, line: a, protocol: dlt645-2007, address: x, ct: 200/5}\n"
        "  - {id: m-1, line: b, protocol: q}\n"
    )
    keys = ["park.id", "park.interval", "gateway.clock", "lines.0.baud", "meters.0.multiplier", "meters.0.address"]
    assert [key for _, _, key in faults(tmp_path, text)] == [*keys, "meters.1.id", "meters.1.protocol"]


def test_a_fault_prints_as_file_line_column_key_and_what_is_wrong(tmp_path: Path) -> None:
    found = loaded(tmp_path, "park: {id: p, interva: 1h}\ngateway: {id: g}\n")
    [fault] = found.faults
    assert str(fault) == f"{tmp_path}/site.yaml:1:15: park.interva: unknown key, did you mean interval?"
    assert fault.text("zh").endswith("park.interva: 没有这个键,是不是 interval?")


def test_a_bound_off_the_grid_says_which_slots_there_are(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "park: {id: p, schedules: [zj-2026]}\ngateway: {id: g}\nmeters: [{id: m, protocol: manual}]\n"
        "tenants: [{id: t}]\ntenancies: [{point: m, tenant: t, from: 2026-07-01 09:37}]\n",
    )
    assert "2026-07-01 09:30:00 or 2026-07-01 09:45:00" in found.fault_texts("en")


def test_a_spreadsheet_number_is_told_apart_from_a_typing_error(tmp_path: Path) -> None:
    found = loaded(tmp_path, HEAD + LINES + "meters: [{id: m, line: east, protocol: dlt645-2007, address: 2.02E+11}]\n")
    assert "spreadsheet" in found.fault_texts("en")
    assert "电子表格" in found.fault_texts("zh")


def test_what_one_fault_hides_is_not_reported_as_another(tmp_path: Path) -> None:
    """A meter without a readable id is known nowhere else, a line with a wrong speed still exists."""
    text = (
        HEAD + "lines: [{id: east, port: /dev/x, baud: 7}]\n"
        "meters: [{id: m-1, line: east, protocol: dlt645-2007, address: 1}]\n"
    )
    assert faults(tmp_path, text) == [(4, 40, "lines.0.baud")]
