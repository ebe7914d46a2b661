"""Calls a core-service directly, without the gateway; and runs one on this machine, without a cluster."""

import subprocess

import grpc

from rendered import ROOT

# The address of a core-service without a cluster.
ADDRESS = "127.0.0.1:50051"
CALL_LIMIT = 5


def list_secrets(channel, did, token=None):
    """Returns the bytes of the response, which contain the names. Raises grpc.RpcError."""
    return call(channel, "ListSecrets", text_field(1, did), token)


def create_secret(channel, did, name):
    return call(channel, "CreateSecret", text_field(1, did) + text_field(2, name), None)


def call(channel, rpc, request, token):
    metadata = [("authorization", f"Bearer {token}")] if token else []
    return channel.unary_unary(f"/athook.v1.SecretService/{rpc}")(request, timeout=CALL_LIMIT, metadata=metadata)


def text_field(number, text):
    data = text.encode()
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def over_tls(pod, host, files):
    """A channel to the core-service of a pod, with the files of a Secret such as gateway-tls."""
    credentials = grpc.ssl_channel_credentials(files["ca.crt"], files["tls.key"], files["tls.crt"])
    options = [("grpc.ssl_target_name_override", host), ("grpc.enable_http_proxy", 0)]
    return grpc.secure_channel(f"{pod.address}:50051", credentials, options)


def code_of(channel, token):
    """The gRPC status code of a call."""
    try:
        list_secrets(channel, "did:plc:aaaabbbbccccddddeeeeffff", token)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


class OneMachine:
    """A core-service on SQLite in a folder, with the file names that `athook` uses."""

    def __init__(self, folder):
        self.folder = folder

    def start(self):
        binary = ROOT / "target/images/core-service/rootfs/core-service"
        with (self.folder / "log").open("a") as log:
            settings = ["--database-url", "sqlite://athook.db?mode=rwc", "--seal-keys-file", "athook.keys"]
            command = [binary, *settings, "--listen", ADDRESS]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self.channel = grpc.insecure_channel(ADDRESS, options=[("grpc.enable_http_proxy", 0)])
        grpc.channel_ready_future(self.channel).result(timeout=30)

    def stop(self):
        self.channel.close()
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0, (self.folder / "log").read_text()
