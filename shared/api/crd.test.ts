import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CRD_KINDS, type CrdKind, crdFiles, crdSchema, customResourceDefinition } from "./crd.ts";
import { structuralSchema } from "./crd-schema.ts";
import { KINDS } from "./kinds.ts";
import { structuralFaults } from "./structural-rules.fixture.ts";
import { type OpenApiSchema, openApiSchema } from "./structural-schema.fixture.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = `${ROOT}/deploy/crds`;
const SCHEMAS = new Map(CRD_KINDS.map((kind) => [kind, openApiSchema.parse(crdSchema(kind))]));

const schemaOf = (kind: CrdKind): OpenApiSchema => SCHEMAS.get(kind) ?? expect.unreachable(kind);

test("deploy/crds holds what `npm run generate` writes, and nothing else", () => {
  const there = readdirSync(FOLDER).sort();
  expect(there).toEqual(
    crdFiles()
      .map(({ name }) => name)
      .sort(),
  );
  for (const { name, text } of crdFiles()) {
    expect(readFileSync(`${FOLDER}/${name}`, "utf8"), `${name} is stale: npm run generate`).toBe(text);
  }
});

describe.each(CRD_KINDS)("%s", (kind) => {
  test("has a schema that an API server takes, and that says what each field is", () => {
    expect([...structuralFaults(schemaOf(kind), "")]).toEqual([]);
    const undescribed: string[] = [];
    const look = (schema: OpenApiSchema, path: string): void => {
      for (const [name, field] of Object.entries(schema.properties ?? {})) {
        if ((field.description ?? "") === "" && `${path}.${name}` !== ".metadata") undescribed.push(`${path}.${name}`);
        look(field, `${path}.${name}`);
      }
      if (schema.items !== undefined) look(schema.items, `${path}[]`);
    };
    look(schemaOf(kind), "");
    expect(undescribed).toEqual([]);
  });

  test("has names, columns and a status as kubectl wants them", () => {
    const { metadata, spec } = customResourceDefinition(kind);
    expect(metadata.name).toBe(`${spec.names.plural}.${spec.group}`);
    expect(spec.names.categories).toEqual(["causeway"]);
    const [version, ...others] = spec.versions;
    expect(others).toEqual([]);
    expect(`${spec.group}/${version?.name}`).toBe("causeway.dev/v1alpha1");
    expect(version).toMatchObject({ served: true, storage: true, subresources: { status: {} } });
    for (const { jsonPath } of version?.additionalPrinterColumns ?? []) {
      if (jsonPath === ".metadata.creationTimestamp") continue;
      // Filters and wildcards step into a list; what remains are fields that the schema must have.
      const fields = jsonPath
        .replaceAll(/\[[^\]]*\]/g, ".[]")
        .split(".")
        .slice(1);
      const found = fields.reduce<OpenApiSchema | undefined>(
        (at, field) => (field === "[]" ? at?.items : at?.properties?.[field]),
        schemaOf(kind),
      );
      expect(found, jsonPath).toBeDefined();
    }
  });
});

test("short names differ from each other", () => {
  const names = CRD_KINDS.flatMap((kind) => customResourceDefinition(kind).spec.names.shortNames);
  expect(new Set(names).size).toBe(CRD_KINDS.length);
});

test("a check that nobody answers for stops the generator, and so does an answer without its field", () => {
  const { schema } = KINDS.GatewayParameters;
  expect(() => structuralSchema(schema, {})).toThrow("spec: has a check");
  const answers = { spec: { slips: ["x"] }, "spec.lookupTableSize": { slips: ["x"] } };
  expect(structuralSchema(schema, answers).type).toBe("object");
  expect(() => structuralSchema(schema, { ...answers, "spec.nothing": {} })).toThrow("spec.nothing: there is no such");
});
