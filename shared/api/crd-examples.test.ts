import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { admitted, isFields, schemasOfFile } from "./structural-schema.fixture.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** A folder with the Gateway API's CustomResourceDefinitions. */
const { GATEWAY_API_CRDS } = process.env;

const filesOf = (folder: string) => globSync(`${folder}/*.yaml`).filter((path) => !path.endsWith("kustomization.yaml"));
const OURS = new Map(filesOf(`${ROOT}/deploy/crds`).flatMap(schemasOfFile));
const GATEWAY_API = new Map(GATEWAY_API_CRDS === undefined ? [] : filesOf(GATEWAY_API_CRDS).flatMap(schemasOfFile));

/** The objects of the examples whose kind has a schema, with what an API server says of them. */
function examples(schemas: typeof OURS) {
  const files = globSync("examples/**/manifests/**/*.yaml", { cwd: ROOT });
  return files.flatMap((file) =>
    parseAllDocuments(readFileSync(`${ROOT}/${file}`, "utf8")).flatMap((document) => {
      const value: unknown = document.toJS();
      const kind = isFields(value) ? `${value.apiVersion} ${value.kind}` : "";
      const schema = schemas.get(kind);
      if (schema === undefined) return [];
      const { faults, broken } = admitted(schema, value);
      return [{ kind, said: [...faults, ...broken].map((fault) => `${file}: ${kind}: ${fault}`) }];
    }),
  );
}

test("the examples' objects of our kinds are admitted", () => {
  const found = examples(OURS);
  expect(new Set(found.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(3);
  expect(found.flatMap(({ said }) => said)).toEqual([]);
});

test.skipIf(GATEWAY_API_CRDS === undefined)(
  "the examples' objects of the Gateway API are admitted (skipped when GATEWAY_API_CRDS names no folder)",
  () => {
    const found = examples(GATEWAY_API);
    expect(new Set(found.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(4);
    expect(found.flatMap(({ said }) => said)).toEqual([]);
  },
);
