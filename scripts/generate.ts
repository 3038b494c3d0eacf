import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { apiReference } from "#shared/api/api-reference.ts";
import { crdFiles } from "#shared/api/crd.ts";

/*
 * `npm run generate`: writes deploy/crds and docs/api-reference.md from the schemas of shared/api. What lies in
 * deploy/crds and is not generated goes.
 */

const folder = fileURLToPath(new URL("../deploy/crds", import.meta.url));
mkdirSync(folder, { recursive: true });
const files = crdFiles();
const names = new Set(files.map(({ name }) => name));
for (const name of readdirSync(folder)) if (!names.has(name)) rmSync(join(folder, name), { recursive: true });
for (const { name, text } of files) writeFileSync(join(folder, name), text);
writeFileSync(fileURLToPath(new URL("../docs/api-reference.md", import.meta.url)), apiReference());
