#!/usr/bin/python3
"""What kcat cannot do: admin.py BROKERS delete TOPIC… | create TOPIC PARTITIONS [NAME=VALUE…] | config TOPIC [NAME=VALUE…]

config: these settings of its own, and no others."""
import sys

from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic


def main():
    client = AdminClient({"bootstrap.servers": sys.argv[1]})
    if sys.argv[2] == "delete":
        futures = client.delete_topics(sys.argv[3:], operation_timeout=30)
    elif sys.argv[2] == "config":
        config = dict(pair.split("=", 1) for pair in sys.argv[4:])
        futures = client.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, sys.argv[3], set_config=config)])
    else:
        config = dict(pair.split("=", 1) for pair in sys.argv[5:])
        futures = client.create_topics([NewTopic(sys.argv[3], int(sys.argv[4]), 1, config=config)])
    for future in futures.values():
        future.result()


main()
