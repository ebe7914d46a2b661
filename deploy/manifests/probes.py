"""Probes pods as the kubelet does: from the node, at the pod's address."""

import time
import urllib.error
import urllib.request

import grpc

from rendered import port_number, probe_of

# grpc.health.v1.HealthCheckResponse{status: SERVING}
SERVING = b"\x08\x01"


def passes(pod, kind):
    """Whether the pod's `startup`, `readiness` or `liveness` probe passes now."""
    probe = probe_of(pod.container, kind)
    if "grpc" in probe:
        return grpc_health(pod.address, probe["grpc"]["port"], probe["grpc"].get("service", ""), probe["timeoutSeconds"])
    path, port = probe["httpGet"]["path"], port_number(pod.container, probe["httpGet"]["port"])
    status, _ = get(f"http://{pod.address}:{port}{path}", probe["timeoutSeconds"])
    return 200 <= status < 400


def grpc_health(address, port, service, seconds):
    request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    with grpc.insecure_channel(f"{address}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            return channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=seconds) == SERVING
        except grpc.RpcError:
            return False


def get(url, seconds):
    """Returns (status, body). Status 0: no response."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def started(pod):
    """Waits for the startup probe as long as the kubelet would. Returns the seconds since the start."""
    probe = probe_of(pod.container, "startup")
    return until(pod, "startup", True, probe["periodSeconds"] * probe["failureThreshold"]) - pod.started


def until(pod, kind, wanted, seconds):
    """Waits until a probe passes (`wanted`) or fails, and returns the time."""
    end = time.monotonic() + seconds
    while passes(pod, kind) != wanted:
        assert time.monotonic() < end, f"{kind} of {pod.name} is not {wanted} after {seconds} s; {pod.log()}"
        time.sleep(0.02)
    return time.monotonic()
