"""MQTT topics as NATS subjects and back.

Source: docs.nats.io, MQTT, "MQTT topics and NATS subjects": `/` separates tokens, an empty level is `/`, a dot is `//`.
"""


def subject_of(topic: str) -> str:
    """The NATS subject of an MQTT topic or filter."""
    wild = {"": "/", "+": "*", "#": ">"}
    return ".".join(wild.get(level, level.replace(".", "//")) for level in topic.split("/"))


def topic_of(subject: str) -> str:
    """The MQTT topic of a NATS subject without wildcards."""
    levels = ("" if level == "/" else level.replace("//", ".") for level in subject.split("."))
    return "/".join(levels)
