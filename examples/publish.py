"""A client of athook.v1.EventService in Python: publishes a chat message, and repeats the call until it knows
what became of it.

From the root of the repository:

    python3 -m venv target/python
    target/python/bin/pip install -r examples/requirements.txt
    target/python/bin/python -m grpc_tools.protoc -I proto --python_out=target/python --grpc_python_out=target/python \
        athook/v1/event.proto
    PYTHONPATH=target/python target/python/bin/python examples/publish.py 127.0.0.1:50051 STREAMER-DID TEXT [TOKEN-FILE]

proto/athook/v1/event.proto describes every field and error.
"""

import pathlib
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from athook.v1 import event_pb2, event_pb2_grpc

CALL_SECONDS = 10
MAX_TRIES = 5

# The service is away or has too much to do, or there was no answer in time.
CAN_BE_REPEATED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


def chat(streamer, key, text):
    """A chat message of somebody, now. `key` must be another one for each event: the same key means the same
    event."""
    event = event_pb2.Event(
        publisher="example",
        idempotency_key=key,
        streamer_did=streamer,
        chat=event_pb2.Chat(
            author=event_pb2.Actor(did="did:plc:z72i7hdynmk6r22z27h6tvur", handle="carol.example"),
            text=text,
            uri="at://did:plc:z72i7hdynmk6r22z27h6tvur/place.stream.chat.message/3m6k2xq7v2c2a",
        ),
    )
    event.occurred_at.GetCurrentTime()
    return event


def publish(address, token, events):
    """Publishes up to 1,000 events. A call whose end is unknown is repeated as it is: the keys of the events keep
    them from being stored twice."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    request = event_pb2.PublishRequest(events=events)
    with grpc.insecure_channel(address) as channel:
        service = event_pb2_grpc.EventServiceStub(channel)
        for tries in range(MAX_TRIES):
            try:
                return service.Publish(request, timeout=CALL_SECONDS, metadata=metadata).results
            except grpc.RpcError as error:
                if error.code() not in CAN_BE_REPEATED or tries + 1 == MAX_TRIES:
                    raise
                time.sleep(2**tries)


def explained(error):
    """What the service said of a call that it refused: code, message, reason and the fields that it blames."""
    text = f"{error.code().name}: {error.details()}"
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            text += f"\n  reason {info.reason} of {info.domain}"
        if detail.Unpack(bad_request):
            for violation in bad_request.field_violations:
                text += f"\n  field {violation.field}: {violation.description}"
    return text


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit("arguments: ADDRESS STREAMER-DID TEXT [TOKEN-FILE]")
    address, streamer, text, *token_file = sys.argv[1:]
    token = pathlib.Path(token_file[0]).read_text().strip() if token_file else None
    try:
        results = publish(address, token, [chat(streamer, str(uuid.uuid4()), text)])
    except grpc.RpcError as error:
        sys.exit(explained(error))
    for result in results:
        print(event_pb2.Outcome.Name(result.outcome), result.event_id, "with", result.deliveries, "deliveries")


if __name__ == "__main__":
    main()
