import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

/*
 * The rooms' walls: docs/development.md, "Rules".
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROCESSES = ["controller", "frontend", "proxy", "node", "discovery", "topics"];
const ROOMS = [...PROCESSES, "lab", "cli", "shared"];
const PACKAGES = globSync("packages/*", { cwd: ROOT }).map((path) => path.slice("packages/".length));

/** `packages/x` for a package's files, else the first folder. */
function roomOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first === "packages" ? `${first}/${second}` : first;
}

/** What is wrong with an import of `specifier` in `file` (relative to the root); undefined when nothing is. */
function fault(file: string, specifier: string): string | undefined {
  const from = roomOf(file);
  const isRelative = specifier.startsWith(".");
  const isShared = specifier.startsWith("#shared/");
  const bare = PACKAGES.find((name) => specifier === name || specifier.startsWith(`${name}/`));
  const to = isRelative
    ? roomOf(relative(ROOT, join(ROOT, dirname(file), specifier)))
    : isShared
      ? "shared"
      : bare && `packages/${bare}`;
  if (to === undefined || to === from) return undefined;
  const says = (rule: string): string => `${file} imports ${specifier}: ${rule}`;
  if (from.startsWith("packages/")) return says("packages import nothing of the application or of each other");
  if (isRelative && (to === "shared" || to.startsWith("packages/"))) {
    return says("shared/ is imported as #shared/…, packages by their names");
  }
  if (to === "shared" || to.startsWith("packages/")) return undefined;
  if (from === "cli" || (to === "test" && file.endsWith(".test.ts"))) return undefined;
  return says(`${from}/ must not import ${to}/; what both need belongs in shared/`);
}

function importsOf(text: string): string[] {
  const found = text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"([^"]+)"/g);
  return [...found].flatMap(([, specifier]) => specifier ?? []);
}

it("rooms import only what they may", () => {
  const files = globSync(
    [...ROOMS, "packages/*/src"].map((room) => `${room}/**/*.ts`),
    { cwd: ROOT },
  );
  const imports = files.flatMap((file) => importsOf(readFileSync(join(ROOT, file), "utf8")).map((to) => [file, to]));
  expect(files.length).toBeGreaterThan(200);
  expect(imports.length).toBeGreaterThan(600);
  expect(imports.flatMap(([file = "", specifier = ""]) => fault(file, specifier) ?? [])).toEqual([]);
});

it.each([
  ["proxy/main.ts", "../frontend/main.ts"],
  ["proxy/nft/plan.ts", "../../frontend/main.ts"],
  ["node/main.ts", "../lab/pods.ts"],
  ["lab/pods.ts", "../controller/main.ts"],
  ["lab/pods.ts", "../cli/explain.ts"],
  ["lab/pods.ts", "../test/support/scenario.ts"],
  ["frontend/main.ts", "../shared/api/kinds.ts"],
  ["shared/api/kinds.ts", "../../proxy/main.ts"],
  ["packages/nftables-ts/src/open.ts", "#shared/api/kinds.ts"],
  ["packages/nftables-ts/src/open.ts", "gobgp-client"],
  ["packages/nftables-ts/src/open.ts", "../../../proxy/main.ts"],
])("%s must not import %s", (file, specifier) => {
  expect(fault(file, specifier)).toContain(`${file} imports ${specifier}`);
});
