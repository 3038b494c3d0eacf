import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { apiReference } from "./api-reference.ts";
import { CRD_KINDS } from "./crd.ts";

const FILE = new URL("../../docs/api-reference.md", import.meta.url);

test("docs/api-reference.md is what the schemas give", () => {
  expect(readFileSync(FILE, "utf8"), "docs/api-reference.md is stale: npm run generate").toBe(apiReference());
});

test("fields have type, default, limits and words; lists say what is in them; bars end no cell", () => {
  const text = apiReference();
  for (const kind of CRD_KINDS) expect(text).toContain(`\n## ${kind}\n`);
  const row = (path: string): string => text.split("\n").find((line) => line.startsWith(`| \`${path}\` |`)) ?? "";
  expect(row("spec.lookupTableSize")).toMatch(/\| integer \| `997` \| .*7 to 65537/);
  expect(row("spec.externalNetworks")).toMatch(/\| list of object \| required \| .*1 to 8 items/);
  expect(row("spec.mode")).toContain("`DSR`, `NAT`");
  expect(row("spec.match.destinationPorts")).toContain("list of integer or string");
  expect(row("spec.password.secretRef.name")).toContain("required");
  for (const line of text.split("\n").filter((one) => one.startsWith("| `"))) {
    expect(line.replaceAll("\\|", "").split("|")).toHaveLength(6);
    expect(line).not.toMatch(/\| \|$/);
  }
});
