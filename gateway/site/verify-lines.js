// Code that verifies a delivery, with the libraries of Standard Webhooks.

/**
 * Code in each language. The token is in the environment, where a secret belongs.
 *
 * @param {string} token The libraries take one that begins with `whsec_` as it is, and any other as bytes.
 * @returns {{language: string, install: string, code: string}[]}
 */
export function verifyLines(token) {
  const standard = isStandard(token);
  return [
    {
      language: "Node",
      install: "npm install standardwebhooks",
      code: [
        'import { Webhook } from "standardwebhooks";',
        `const webhook = new Webhook(process.env.WEBHOOK_SECRET${standard ? "" : ', { format: "raw" }'});`,
        "const event = webhook.verify(body, headers); // throws if the delivery is not from here",
      ].join("\n"),
    },
    {
      language: "Python",
      install: "pip install standardwebhooks",
      code: [
        "import os",
        "from standardwebhooks.webhooks import Webhook",
        `webhook = Webhook(os.environ["WEBHOOK_SECRET"]${standard ? "" : ".encode()"})`,
        "event = webhook.verify(body, headers)  # raises if the delivery is not from here",
      ].join("\n"),
    },
    {
      language: "Rust",
      install: "cargo add standardwebhooks",
      code: [
        'let secret = std::env::var("WEBHOOK_SECRET")?;',
        standard
          ? "let webhook = standardwebhooks::Webhook::new(&secret)?;"
          : "let webhook = standardwebhooks::Webhook::from_bytes(secret.into_bytes())?;",
        "webhook.verify(&body, &headers)?; // an error if the delivery is not from here",
      ].join("\n"),
    },
  ];
}

/**
 * Whether a token has the form of Standard Webhooks: `whsec_` and base64.
 *
 * @param {string} token
 */
export function isStandard(token) {
  return (
    /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(token) && token.length > 6
  );
}
