"""Verifies deliveries with the package `standardwebhooks`: a JSON line of a delivery in, `verified` or why not out."""

import base64
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    delivery = json.loads(line)
    body = base64.b64decode(delivery["body"])
    try:
        assert Webhook(delivery["token"]).verify(body, delivery["headers"]) == json.loads(body)
        print("verified")
    except WebhookVerificationError as error:
        print(error)
