"""Cases of line protocol: one table drives the encoder and the reader.

Source: InfluxDB v2 line protocol reference, «Special characters» and «Data types and format».
"""

from __future__ import annotations

from config.points import INT64_MAX, INT64_MIN, Point

BOTH: dict[str, tuple[str, Point]] = {
    "float": ("m f=1.5 7", Point("m", {}, {"f": 1.5}, 7)),
    "float with exponent": ("m f=1e+22 7", Point("m", {}, {"f": 1e22}, 7)),
    "tiny float": ("m f=5e-324 7", Point("m", {}, {"f": 5e-324}, 7)),
    "negative float": ("m f=-0.25 7", Point("m", {}, {"f": -0.25}, 7)),
    "integer": ("m f=15i 7", Point("m", {}, {"f": 15}, 7)),
    "greatest integer": (f"m f={INT64_MAX}i 7", Point("m", {}, {"f": INT64_MAX}, 7)),
    "least integer": (f"m f={INT64_MIN}i 7", Point("m", {}, {"f": INT64_MIN}, 7)),
    "true": ("m f=true 7", Point("m", {}, {"f": True}, 7)),
    "false": ("m f=false 7", Point("m", {}, {"f": False}, 7)),
    "string": ('m f="a" 7', Point("m", {}, {"f": "a"}, 7)),
    "empty string": ('m f="" 7', Point("m", {}, {"f": ""}, 7)),
    "string of delimiters": ('m f="a, b=c" 7', Point("m", {}, {"f": "a, b=c"}, 7)),
    "string with a quote": (r'm f="a\"b" 7', Point("m", {}, {"f": 'a"b'}, 7)),
    "string with backslashes": (r'm f="a\\\\b\\" 7', Point("m", {}, {"f": r"a\\b" + "\\"}, 7)),
    "Chinese": (
        'm,学校=第一小学 f="校通" 7',
        Point("m", {"学校": "第一小学"}, {"f": "校通"}, 7),
    ),
    "two fields": ('m a=1i,b="x" 7', Point("m", {}, {"a": 1, "b": "x"}, 7)),
    "two tags": ("m,a=1,b=2 f=1i 7", Point("m", {"a": "1", "b": "2"}, {"f": 1}, 7)),
    "escaped measurement": (r"m\,\ =x f=1i 7", Point("m, =x", {}, {"f": 1}, 7)),
    "escaped tag": (r"m,a\,\=\ b=c\,\=\ d f=1i 7", Point("m", {"a,= b": "c,= d"}, {"f": 1}, 7)),
    "escaped field key": (r"m a\,\=\ b=1i 7", Point("m", {}, {"a,= b": 1}, 7)),
    "quote in a tag": ('m,a=b"c f=1i 7', Point("m", {"a": 'b"c'}, {"f": 1}, 7)),
    "backslash in a tag": (r"m,a=b\c f=1i 7", Point("m", {"a": r"b\c"}, {"f": 1}, 7)),
    "backslash before a delimiter": (r"m,a=b\\,c f=1i 7", Point("m", {"a": r"b\,c"}, {"f": 1}, 7)),
    "time before 1970": ("m f=1i -7", Point("m", {}, {"f": 1}, -7)),
}
"""Text and point are made of each other."""

READ_ONLY: dict[str, tuple[str, dict[str, object], int | None]] = {
    "no time": ("m f=1i", {"f": 1}, None),
    "more spaces": ("m  f=1i   7 ", {"f": 1}, 7),
    "carriage return": ("m f=1i 7\r", {"f": 1}, 7),
    "unsigned": ("m f=18446744073709551615u 7", {"f": 2**64 - 1}, 7),
    "plain whole float": ("m f=1 7", {"f": 1.0}, 7),
    "dot at an end": ("m a=1.,b=.5 7", {"a": 1.0, "b": 0.5}, 7),
    "capital exponent": ("m f=1E3 7", {"f": 1000.0}, 7),
    "other booleans": ("m a=t,b=T,c=True,d=TRUE,e=f,g=F,h=False,i=FALSE 7",
                       {**dict.fromkeys("abcd", True), **dict.fromkeys("eghi", False)}, 7),
    "backslash kept in a string": (r'm f="a\nb" 7', {"f": r"a\nb"}, 7),
}  # fmt: skip
"""What clients may write and we do not: text, fields, time."""

REFUSED: dict[str, tuple[str, str]] = {
    "nothing but a name": ("m", "fields are missing"),
    "no fields": ("m  7", "has no value"),
    "no value": ("m f= 7", "has no value"),
    "no key": ("m =1i 7", "is empty"),
    "nan": ("m f=nan 7", "is not a value"),
    "NaN": ("m f=NaN 7", "is not a value"),
    "infinity": ("m f=inf 7", "is not a value"),
    "beyond a float": ("m f=1e999 7", "beyond the range of a float"),
    "underscore": ("m f=1_0i 7", "is not an integer"),
    "underscore in a float": ("m f=1_0 7", "is not a value"),
    "plus": ("m f=+1i 7", "is not an integer"),
    "Arabic digits": ("m f=٣i 7", "is not an integer"),
    "beyond 64 bits": ("m f=9223372036854775808i 7", "is beyond the range"),
    "below 64 bits": ("m f=-9223372036854775809i 7", "is beyond the range"),
    "negative unsigned": ("m f=-1u 7", "is beyond the range"),
    "beyond unsigned": ("m f=18446744073709551616u 7", "is beyond the range"),
    "hexadecimal": ("m f=0x1i 7", "is not an integer"),
    "word": ("m f=yes 7", "is not a value"),
    "single quotes": ("m f='a' 7", "is not a value"),
    "text behind a string": ('m f="a"b 7', "field expected"),
    "comma at the end": ("m f=1i, 7", "has no value"),
    "field twice": ("m f=1i,f=2i 7", "given twice"),
    "tag twice": ("m,a=1,a=2 f=1i 7", "given twice"),
    "tag without value": ("m,a= f=1i 7", "tag expected"),
    "tag without key": ("m,=a f=1i 7", "tag expected"),
    "comma behind the measurement": ("m, f=1i 7", "tag expected"),
    "no measurement": (",a=b f=1i 7", "measurement is missing"),
    "time with a dot": ("m f=1i 7.5", "is not a time"),
    "time with an underscore": ("m f=1i 1_0", "is not a time"),
    "two times": ("m f=1i 7 8", "is not a time"),
    "control character in a measurement": ("m\x01 f=1i 7", "control character"),
    "control character in a tag": ("m,a=b\tc f=1i 7", "control character"),
    "control character in a field key": ("m f\x7f=1i 7", "control character"),
    "control character in a string": ('m f="a\tb" 7', "control character"),
    "NUL in a string": ('m f="a\0b" 7', "control character"),
    "line break in a string": ('m f="a\nm g=1i 8\n" 7', "line break"),
    "open string": ('m f="a 7', "field expected"),
    "backslash at the end of a tag": ("m,a=b\\ f=1i 7", "field expected"),
}
"""Text and part of the reason."""

UNWRITABLE: dict[str, Point] = {
    "no fields": Point("m", {}, {}, 7),
    "empty measurement": Point("", {}, {"f": 1}, 7),
    "empty tag": Point("m", {"a": ""}, {"f": 1}, 7),
    "line break in a tag": Point("m", {"a": "b\nm f=2i"}, {"f": 1}, 7),
    "line break in a string": Point("m", {}, {"f": "b\nm f=2i"}, 7),
    "backslash at the end": Point("m", {"a": "b\\"}, {"f": 1}, 7),
    "nan": Point("m", {}, {"f": float("nan")}, 7),
    "infinity": Point("m", {}, {"f": float("-inf")}, 7),
    "beyond 64 bits": Point("m", {}, {"f": 2**63}, 7),
    "a measurement that reads as a comment": Point("#m", {}, {"f": 1}, 7),
}
"""Points that the encoder refuses."""

TELEGRAF: dict[str, tuple[str, dict[str, object]]] = {
    "cpu": (
        "cpu,cpu=cpu-total,host=school\\ gate usage_idle=99.3,usage_user=0.5000000001 1700000000000000000",
        {"usage_idle": 99.3, "usage_user": 0.5000000001},
    ),
    "disk, unsigned": (
        "disk,device=sda1,fstype=ext4,path=/ free=18446744073709551615u,inodes_used=7i 1700000000000000000",
        {"free": 2**64 - 1, "inodes_used": 7},
    ),
    "system, a text": (
        'system,host=a load1=0.01 1700000000000000000', {"load1": 0.01},
    ),
    "uptime as text": (
        'system,host=a uptime_format="1 day,  2:03" 1700000000000000000', {"uptime_format": "1 day,  2:03"},
    ),
    "snmp, a quoted alias with a backslash": (
        'interface,ifName=Gi0/1 ifAlias="to \\"core\\" \\\\ roof",ifAdminStatus=1i 1700000000000000000',
        {"ifAlias": 'to "core" \\ roof', "ifAdminStatus": 1},
    ),
    "win_perf, a path": (
        "win_disk,instance=C:,objectname=LogicalDisk,path=C:\\Users Percent_Free=61.5 1700000000000000000",
        {"Percent_Free": 61.5},
    ),
    "ping, exponents and a negative": (
        "ping,url=example.org average_response_ms=1.2e+01,percent_packet_loss=-0 1700000000000000000",
        {"average_response_ms": 12.0, "percent_packet_loss": 0.0},
    ),
    "internal, booleans": (
        "internal,host=a ok=true,down=false 1700000000000000000", {"ok": True, "down": False},
    ),
}  # fmt: skip
"""Lines as Telegraf's influx serializer writes them (its documentation, «Influx Line Protocol output data
format»): escapes in tags, unsigned integers where influx_uint_support is on, floats in Go's form."""
