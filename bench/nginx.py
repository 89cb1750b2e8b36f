"""nginx in the place of others: as the origin behind both load balancers, and as a load balancer.

Both run from a configuration of the benchmark's own, in a folder of its own, beside any other nginx.
"""

import os
import pathlib
import socket
import subprocess
import tempfile
import time

# One kibibyte, as a small page or an API's answer.
PAGE_BYTES = 1024
KEEPALIVE_CONNECTIONS = 128

COMMON = """
daemon off;
user root;
worker_processes {workers};
error_log {directory}/error.log warn;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{server}
}}
"""

ORIGIN = """
    server {{
        listen {port};
        default_type text/plain;
        location / {{ return 200 "{page}"; }}
    }}
"""

# What the edge adds to requests for a target, nginx adds as well.
BALANCER = """
    upstream targets {{
{targets}
        keepalive {keepalive};
        keepalive_requests 100000000;
    }}
    server {{
        listen {address}:{port} reuseport;
        location / {{
            proxy_pass http://targets;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Amzn-Trace-Id "Root=$request_id";
        }}
    }}
"""


class Nginx:
    """An nginx in a network namespace. Listening sockets that are given were made outside of it."""

    def __init__(self, namespace, server, workers, sockets=()):
        self._directory = tempfile.TemporaryDirectory(prefix="ngbench-nginx-", dir="/var/tmp")
        self._sockets = sockets
        directory = self._directory.name
        configuration = pathlib.Path(directory) / "nginx.conf"
        configuration.write_text(
            COMMON.format(directory=directory, workers=workers, server=server)
        )
        environment = dict(os.environ)
        if sockets:
            # nginx's own way of handing sockets from an old process to a new one.
            environment["NGINX"] = "".join(f"{it.fileno()};" for it in sockets)
        self.process = subprocess.Popen(
            ["nsenter", f"--net={namespace}", "nginx", "-c", str(configuration)],
            env=environment, pass_fds=[it.fileno() for it in sockets],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        if self.process.poll() is not None:
            log = (pathlib.Path(directory) / "error.log").read_text()
            raise RuntimeError(f"nginx did not start: {log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        for it in self._sockets:
            it.close()
        self._directory.cleanup()


def origin(namespace, port):
    server = ORIGIN.format(port=port, page="x" * PAGE_BYTES)
    return Nginx(namespace, server, workers=1)


def balancer(namespace, address, port, targets, workers=2):
    """Listens on the host, a socket for each worker, and connects from `namespace`: as the edge."""
    sockets = []
    for _ in range(workers):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((address, port))
        listening.listen(1024)
        sockets.append(listening)
    lines = "\n".join(f"        server {it};" for it in targets)
    server = BALANCER.format(
        targets=lines, address=address, port=port, keepalive=KEEPALIVE_CONNECTIONS
    )
    return Nginx(namespace, server, workers, sockets)
