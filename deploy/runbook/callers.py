"""The callers of the test: accounts with keys, their PLC directory, and calls through the gateways."""

import base64
import hashlib
import http.client
import json
import random
import re
import secrets
import string
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

from ecdsa import SECP256k1, SigningKey
from ecdsa.util import sigencode_string

from network import NODE

# The same as in overlay/kustomization.yaml.
PLC_PORT = 2582
# The longest validity of a token that the gateway accepts, in seconds.
TOKEN_LIFETIME = 3600
# Longer than the deadline of the gateway, in seconds.
CALL_LIMIT = 10
# The multicodec prefix of a compressed secp256k1 public key.
SECP256K1_PUB = b"\xe7\x01"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class ErrorResponse(Exception):
    """A response other than 200: (status, error name, request id)."""

    def __init__(self, status, error, request):
        super().__init__(status, error, request)
        self.status, self.error, self.request = status, error, request


class Directory:
    """A PLC directory."""

    def __init__(self):
        self.documents = documents = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                document = documents.get(self.path[1:])
                body = json.dumps(document or {}).encode()
                self.send_response(200 if document else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            # Gateways that have just started look up all accounts at once.
            request_queue_size = 128

        server = Server((NODE, PLC_PORT), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Account:
    """A caller of one cluster."""

    def __init__(self, cluster, directory, audience, did=None):
        letters = string.ascii_lowercase + "234567"
        self.did = did or "did:plc:" + "".join(random.choices(letters, k=24))
        self.cluster, self.audience, self.tokens = cluster, audience, {}
        self.key = SigningKey.generate(SECP256k1, hashfunc=hashlib.sha256)
        public = SECP256K1_PUB + self.key.verifying_key.to_string("compressed")
        method = {"id": f"{self.did}#atproto", "type": "Multikey", "controller": self.did}
        method["publicKeyMultibase"] = "z" + base58(public)
        directory.documents[self.did] = {"id": self.did, "verificationMethod": [method]}

    def token(self, method):
        if method not in self.tokens:
            claims = {
                "iss": self.did,
                "aud": self.audience,
                "lxm": method,
                "exp": int(time.time()) + TOKEN_LIFETIME - 60,
            }
            signed = ".".join(
                base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ES256K"}, claims)
            )
            signature = self.key.sign(signed.encode(), sigencode=sigencode_string)
            self.tokens[method] = f"{signed}.{base64url(signature)}"
        return self.tokens[method]

    def get(self, method, **parameters):
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.request("GET", method, f"/xrpc/{method}{query}", None)

    def post(self, method, **fields):
        return self.request("POST", method, f"/xrpc/{method}", json.dumps(fields))

    def request(self, verb, method, path, body):
        """Makes one call on a new connection, to any of the ready gateways."""
        serving = self.cluster.serving("gateway")
        assert serving, "no gateway is ready"
        connection = http.client.HTTPConnection(random.choice(serving).address, 8080, timeout=CALL_LIMIT)
        headers = {"Authorization": f"Bearer {self.token(method)}", "Content-Type": "application/json"}
        try:
            connection.request(verb, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ErrorResponse(answer.status, json.loads(text)["error"], answer.getheader("x-request-id"))
        return json.loads(text) if text else None

    def create_webhook(self, url):
        return self.post("place.stream.server.createWebhook", url=url, events=["chat"])["webhook"]["id"]

    def url_of(self, webhook):
        return self.get("place.stream.server.getWebhook", id=webhook)["webhook"]["url"]

    def delete_webhook(self, webhook):
        self.post("place.stream.server.deleteWebhook", id=webhook)

    def create_secret(self, name):
        self.post("place.wisp.v2.secret.create", name=name)

    def delete_secret(self, name):
        self.post("place.wisp.v2.secret.delete", name=name)

    def secrets(self):
        return {each["name"] for each in self.get("place.wisp.v2.secret.list")["secrets"]}

    def webhooks(self):
        return {each["url"] for each in self.get("place.stream.server.listWebhooks", limit=100)["webhooks"]}

    def is_refused(self, call, *arguments, error):
        try:
            call(*arguments)
        except ErrorResponse as response:
            assert response.error == error, response
        else:
            raise AssertionError(f"not refused as {error}")


class Traffic:
    """A context manager: accounts make calls all the time. Raises if a call failed or a write was lost."""

    ACCOUNTS = 3
    # Secrets that an account has at a time.
    KEPT = 20

    def __init__(self, cluster, directory, audience):
        self.cluster = cluster
        self.accounts = [Account(cluster, directory, audience) for _ in range(self.ACCOUNTS)]
        self.calls, self.failures, self.ending, self.at = 0, [], threading.Event(), "the beginning"

    def __enter__(self):
        self.threads = [threading.Thread(target=self.call, args=(account,)) for account in self.accounts]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()
        if kind is None:
            assert not self.failures, "\n".join([*map(str, self.failures), *self.reasons()])
            assert self.calls > 1000, f"there were only {self.calls} calls"

    def reasons(self):
        """The pods' log lines about the failed requests."""
        requests = re.findall(r"\b[0-9a-f]{24}\b", str(self.failures))
        return [line for line in self.cluster.warnings() if any(request in line for request in requests)]

    def call(self, account):
        names, number = set(), 0
        while not self.ending.wait(0.1):
            number += 1
            try:
                self.round(account, names, number)
            except Exception as failure:  # noqa: BLE001 - collected
                self.failures.append((self.at, repr(failure)))
                return

    def round(self, account, names, number):
        url = f"https://receiver.example/{secrets.token_hex(8)}"
        webhook = account.create_webhook(url)
        # Each core-service must decrypt URLs that another encrypted, and find duplicates by hashes that
        # another made.
        assert account.url_of(webhook) == url
        account.is_refused(account.create_webhook, url, error="DuplicateWebhook")
        account.delete_webhook(webhook)
        account.create_secret(f"n{number}")
        names.add(f"n{number}")
        if number > self.KEPT:
            account.delete_secret(f"n{number - self.KEPT}")
            names.remove(f"n{number - self.KEPT}")
        assert account.secrets() == names, "an acknowledged write is lost"
        self.calls += 7


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def base58(data):
    """Encodes data that does not begin with a zero byte."""
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return text
