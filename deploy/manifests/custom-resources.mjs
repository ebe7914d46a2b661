// Validates objects of other projects' kinds by their schemas: JSON objects, one a line, on standard input.
// The folder of the packages is the argument.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const models = `${pathToFileURL(process.argv[2])}/node_modules/@kubernetes-models`;
const { HTTPRoute } = await import(`${models}/gateway-api/gateway.networking.k8s.io/v1/index.js`);
const { PodMonitor, PrometheusRule } = await import(`${models}/prometheus-operator/monitoring.coreos.com/v1/index.js`);
const kinds = { HTTPRoute, PodMonitor, PrometheusRule };
for await (const line of createInterface({ input: process.stdin })) {
  const object = JSON.parse(line);
  new kinds[object.kind](object).validate();
  console.log(object.kind);
}
