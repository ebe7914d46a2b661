// A service that is not athook, behind the same gateway: its methods have a field of each kind, and whoever
// described them wished the pages ill. Its gRPC service answers with what it was sent, and refuses a text
// "no".

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http2";
import { join } from "node:path";

export const PLANT = "com.example.garden.plant";
export const LOOK = "com.example.garden.look";
/** Would show that it ran. */
export const HOSTILE = `<script>document.title = "owned"</script><img src=x onerror="alert(1)"> "onload="alert(1)`;

// Requests and responses have the same numbers, so that the one can be read as the other.
const FIELDS = `
  string gardener = 1 [ROLE];
  string name = 2;
  optional int32 rows = 3;
  optional bool sunny = 4;
  repeated string tags = 5;
  optional string season = 6;
  optional google.protobuf.Timestamp planted_at = 7;`;
const message = (name, more = "") =>
  ["Request", "Response"]
    .map((kind) => {
      const role = kind === "Request" ? "[(xrpc.v1.role) = CALLER]" : "";
      return `message ${name}${kind} {${FIELDS.replace("[ROLE]", role)}${more}\n}`;
    })
    .join("\n");
const PROTO = `
syntax = "proto3";
package com.example;
import "google/protobuf/timestamp.proto";
import "xrpc/v1/annotations.proto";
service Garden {
  option (xrpc.v1.error_domain) = "garden.example";
  rpc Plant(PlantRequest) returns (PlantResponse) { option (xrpc.v1.method) = { nsid: "${PLANT}" }; }
  rpc Look(LookRequest) returns (LookResponse) { option (xrpc.v1.method) = { nsid: "${LOOK}" }; }
}
message Soil { string kind = 1; optional int32 acidity = 2; }
message Bed { string name = 1; repeated int32 widths = 2; }
${message("Plant", "\n  optional Soil soil = 8;\n  repeated Bed beds = 9;")}
${message("Look")}
`;

const simple = {
  name: { type: "string", maxLength: 10, description: HOSTILE },
  rows: { type: "integer", minimum: 1, maximum: 99, description: "How many rows." },
  sunny: { type: "boolean" },
  tags: { type: "array", items: { type: "string", maxLength: 20 } },
  season: { type: "string", enum: ["spring", "autumn"] },
  plantedAt: { type: "string", format: "datetime" },
};
const composed = {
  soil: { type: "ref", ref: "#soil" },
  beds: { type: "array", items: { type: "ref", ref: "#bed" } },
};
const body = (properties, required) => ({
  encoding: "application/json",
  schema: { type: "object", required, properties },
});
const gardener = { type: "string", format: "did" };
const parts = {
  soil: {
    type: "object",
    description: HOSTILE,
    required: ["kind"],
    properties: { kind: { type: "string", maxLength: 10 }, acidity: { type: "integer" } },
  },
  bed: {
    type: "object",
    required: ["name"],
    properties: { name: { type: "string" }, widths: { type: "array", items: { type: "integer" } } },
  },
};
const LEXICONS = {
  [PLANT]: {
    main: {
      type: "procedure",
      description: HOSTILE,
      input: body({ ...simple, ...composed }, ["name"]),
      output: body({ gardener, ...simple, ...composed }, ["gardener", "name"]),
      errors: [{ name: "GroundFrozen", description: HOSTILE }],
    },
    ...parts,
  },
  [LOOK]: {
    main: {
      type: "query",
      // The parameters of a query are of fewer kinds.
      parameters: { type: "params", required: ["name"], properties: simple },
      output: body({ gardener, ...simple }, ["gardener", "name"]),
    },
  },
};

/**
 * Writes the lexicons and the descriptors.
 *
 * @param {string} folder
 * @param {string} protos Has `xrpc/v1/annotations.proto`.
 * @param {string} buf
 * @returns {string[]} The gateway's flags.
 */
export function describe(folder, protos, buf) {
  const [lexicons, sources] = [join(folder, "lexicons"), join(folder, "proto")];
  mkdirSync(lexicons, { recursive: true });
  mkdirSync(sources);
  for (const [id, defs] of Object.entries(LEXICONS)) {
    writeFileSync(join(lexicons, `${id}.json`), JSON.stringify({ lexicon: 1, id, defs }));
  }
  writeFileSync(join(sources, "garden.proto"), PROTO);
  writeFileSync(join(folder, "buf.yaml"), `version: v2\nmodules:\n  - path: proto\n  - path: annotations\n`);
  cpSync(join(protos, "xrpc"), join(folder, "annotations", "xrpc"), { recursive: true });
  const descriptors = join(folder, "descriptors.bin");
  const flags = ["build", "--as-file-descriptor-set", "-o", `${descriptors}#format=bin`];
  execFileSync(buf, flags, { cwd: folder, timeout: 30_000 });
  return ["--lexicons", lexicons, "--descriptors", descriptors];
}

/** What is refused, as it stands in a message, and the field's path. */
const REFUSED = [
  [Buffer.from("\x12\x02no"), "name"],
  [Buffer.from("\x2a\x02no"), "tags[0]"],
  [Buffer.from("\x42\x04\x0a\x02no"), "soil.kind"],
  [Buffer.from("\x4a\x04\x0a\x02no"), "beds[0].name"],
];

/** Starts the gRPC service. Returns its URL. */
export async function startGarden() {
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const chunks = [];
    stream.on("error", () => {});
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("end", () => {
      const sent = Buffer.concat(chunks);
      const refused = REFUSED.find(([bytes]) => sent.includes(bytes));
      if (refused) {
        const message = `input.${refused[1]}: must not be "no"`;
        const status = { "grpc-status": "3", "grpc-message": message };
        return stream.respond({ ":status": 200, "content-type": "application/grpc", ...status }, { endStream: true });
      }
      // grpc.health.v1.HealthCheckResponse{status: SERVING}
      const serving = Buffer.from([0, 0, 0, 0, 2, 8, 1]);
      const answer = headers[":path"] === "/grpc.health.v1.Health/Check" ? serving : sent;
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(answer);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${server.address().port}`;
}
