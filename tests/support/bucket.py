"""An S3 server on loopback for a test, moto's, with the environment that leads clients to it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Bucket:
    """A bucket, the variables that a client needs, and those of one without credentials."""

    name: str
    client: Any
    environment: dict[str, str]
    stranger: dict[str, str]

    def objects(self) -> list[str]:
        """Returns the names of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]


@contextmanager
def serving(name: str, home: str) -> Iterator[Bucket]:
    """Yields a bucket on a server of its own; nobody's settings in `home` are looked at."""
    # A line per request would bury what a failing test has to say.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url, region = f"http://{host}:{port}", "us-east-1"
        stranger = {
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": f"{home}/none",
            "AWS_CONFIG_FILE": f"{home}/none",
        }
        key, secret = "testing", "testing"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        client.create_bucket(Bucket=name)
        credentials = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        yield Bucket(name, client, stranger | credentials, stranger)
    finally:
        server.stop()
