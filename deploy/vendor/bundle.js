// Makes the bundle, with its licences and a note of where it is from. See deploy/vendor-site.
//
//   node bundle.js FOLDER

import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const NAME = "oauth-client-browser";
const PACKAGE = `@atproto/${NAME}`;

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

const { metafile, outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: [`${NAME}.js`],
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  // They are in the file LICENSE.
  legalComments: "none",
  metafile: true,
  write: false,
  outfile: `${NAME}.bundle.js`,
});
const bundle = outputFiles[0].contents;
writeFileSync(join(folder, `${NAME}.js`), bundle);

const inside = [...new Set(Object.keys(metafile.inputs).flatMap(packageOf))].sort().map(describe);
/** Packages of one repository have the same text, which then stands there once. */
const namesByText = new Map();
for (const { name, version, license, text } of inside) {
  namesByText.set(text, [...(namesByText.get(text) ?? []), `${name} ${version} (${license})`]);
}
const licences = [...namesByText].map(([text, names]) => `${names.join("\n")}\n\n${text}\n`);
writeFileSync(join(folder, "LICENSE"), licences.join(`\n${"-".repeat(80)}\n\n`));
// For the type checker, in place of the bundle itself.
copyFileSync(join(here, `${NAME}.d.ts`), join(folder, `${NAME}.d.ts`));

const { version, license } = describe(PACKAGE);
const note = {
  file: `${NAME}.js`,
  package: PACKAGE,
  version,
  license,
  sha256: createHash("sha256").update(bundle).digest("hex"),
  contains: Object.fromEntries(inside.map((one) => [one.name, `${one.version}, ${one.license}`])),
};
writeFileSync(join(folder, "vendor.json"), `${JSON.stringify(note, null, 2)}\n`);

/** The package that a file belongs to, none for one of ours. */
function packageOf(path) {
  const [, inModules] = path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)\//) ?? [];
  return inModules ? [inModules] : [];
}

/** Its name, version, licence, and the text of the licence. */
function describe(name) {
  const root = join(here, "node_modules", ...name.split("/"));
  const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const files = readdirSync(root).filter((file) => /^licen[cs]e/i.test(file));
  if (files.length === 0) {
    throw new Error(`${relative(here, root).split(sep).join("/")} has no text of its licence`);
  }
  return { name, version, license, text: readFileSync(join(root, files.sort()[0]), "utf8").trim() };
}
