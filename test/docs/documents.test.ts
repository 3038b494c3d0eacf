import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { KINDS } from "#shared/api/kinds.ts";
import { API_VERSION } from "#shared/api/names.ts";

/*
 * What the documents say of the code is so: links, commands, fields and metrics.
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DOCUMENTS = globSync(["README.md", "docs/**/*.md", "examples/**/*.md", "packages/*/README.md"], { cwd: ROOT });

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** Lines of a document by whether they are code: fenced, or indented by four blanks. */
function linesOf(text: string): { readonly line: string; readonly code: boolean }[] {
  let fenced = false;
  return text.split("\n").map((line) => {
    const fence = line.startsWith("```");
    if (fence) fenced = !fenced;
    return { line, code: !fence && (fenced || line.startsWith("    ")) };
  });
}

/** GitHub's anchors of a document's headings. */
function anchorsOf(text: string): string[] {
  return linesOf(text).flatMap(({ line, code }) => {
    const title = code ? undefined : /^#+ (.*)$/.exec(line)?.[1];
    const plain = title?.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "");
    return plain === undefined ? [] : [plain.replaceAll(" ", "-")];
  });
}

it("relative links lead to files and headings that are there", () => {
  const dead: string[] = [];
  let count = 0;
  for (const document of DOCUMENTS) {
    for (const { line, code } of linesOf(read(document))) {
      for (const [, link = ""] of code ? [] : line.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(link)) continue;
        count += 1;
        const [path = "", anchor] = link.split("#");
        const target = path === "" ? document : join(dirname(document), path);
        const alive =
          existsSync(join(ROOT, target)) && (anchor === undefined || anchorsOf(read(target)).includes(anchor));
        if (!alive) dead.push(`${document}: ${link}`);
      }
    }
  }
  expect(count).toBeGreaterThan(30);
  expect(dead).toEqual([]);
});

describe("commands", () => {
  interface Help {
    readonly commands: ReadonlySet<string>;
    readonly options: ReadonlySet<string>;
  }
  const helps = new Map<string, Help>();

  /** What the command itself says that it understands. */
  function helpOf(path: readonly string[]): Help {
    const known = helps.get(path.join(" "));
    if (known !== undefined) return known;
    const text = execFileSync(join(ROOT, "bin/causeway"), [...path, "--help"], { encoding: "utf8" });
    const part = (title: string): string => text.split(`\n${title}:\n`)[1]?.split("\n\n")[0] ?? "";
    const help = {
      commands: new Set([...part("Commands").matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name ?? "")),
      options: new Set([...part("Options").matchAll(/^ {2}(?:(-[a-z]), )?(--[a-z-]+)/gm)].flatMap((m) => m.slice(1))),
    };
    helps.set(path.join(" "), help);
    return help;
  }

  /** What is wrong with the words that follow `causeway`; undefined when it would understand them. */
  function fault(words: readonly string[]): string | undefined {
    const path: string[] = [];
    const rest = [...words];
    while (rest[0] !== undefined && helpOf(path).commands.has(rest[0])) path.push(rest.shift() ?? "");
    const { commands, options } = helpOf(path);
    const [next] = rest;
    if (commands.size > 0 && next !== undefined && /^[a-z]/.test(next)) return `no command ${next}`;
    const unknown = rest
      .filter((word) => /^--?[a-z]/.test(word))
      .find((word) => !options.has(word.split("=")[0] ?? ""));
    return unknown && `causeway ${path.join(" ")} has no option ${unknown}`;
  }

  /** The words after each `causeway` of a line of code, up to where the command ends. */
  function callsOf(code: string): string[][] {
    const calls = code.matchAll(/(?:^|[\s/'"(`])causeway ((?:(?! -- | # |[;|)'"`]).)*)/g);
    return [...calls].map(([, words = ""]) => words.trim().split(/\s+/));
  }

  const codeOf = (document: string): string[] =>
    linesOf(read(document)).flatMap(({ line, code }) =>
      code ? [line] : [...line.matchAll(/`([^`]+)`/g)].map(([, text]) => text ?? ""),
    );

  it("command lines in documents are understood", () => {
    const calls = DOCUMENTS.flatMap((document) =>
      codeOf(document)
        .flatMap(callsOf)
        // A title, or a sentence that speaks of the command as a whole.
        .filter(([first]) => first !== undefined && /^[a-z]+$/.test(first))
        .map((words) => ({ document, words })),
    );
    expect(calls.length).toBeGreaterThan(40);
    const faults = calls.flatMap(({ document, words }) => {
      const found = fault(words);
      return found === undefined ? [] : [`${document}: causeway ${words.join(" ")}: ${found}`];
    });
    expect(faults).toEqual([]);
  });

  it("options that the operating documents name exist", () => {
    for (const path of [...helpOf([]).commands].filter((name) => name !== "help")) helpOf([path]);
    for (const name of helpOf(["lab"]).commands) if (name !== "help") helpOf(["lab", name]);
    const all = new Set([...helps.values()].flatMap(({ options }) => [...options]));
    for (const document of ["docs/lab.md", "docs/operations.md", "docs/manifests.md"]) {
      const named = codeOf(document).filter((text) => /^--[a-z-]+$/.test(text));
      expect(named.filter((option) => !all.has(option))).toEqual([]);
    }
  });

  it("tells what it would not understand", () => {
    expect(fault(["lab", "up", "--topologie", "x"])).toBe("causeway lab up has no option --topologie");
    expect(fault(["lab", "upp"])).toBe("no command upp");
    expect(callsOf("$ bin/causeway lab exec client -- bin/causeway traffic --to 192.0.2.1:80 # try it")).toEqual([
      ["lab", "exec", "client"],
      ["traffic", "--to", "192.0.2.1:80"],
    ]);
  });
});

/** The part of JSON Schema that zod writes for our kinds. */
interface Schema {
  readonly const?: unknown;
  readonly default?: unknown;
  readonly maximum?: number | undefined;
  readonly maxItems?: number | undefined;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
  readonly items?: Schema | undefined;
}
const schemaSchema: z.ZodType<Schema> = z.lazy(() =>
  z.object({
    const: z.unknown().optional(),
    default: z.unknown().optional(),
    maximum: z.number().optional(),
    maxItems: z.number().optional(),
    properties: z.record(z.string(), schemaSchema).optional(),
    items: schemaSchema.optional(),
  }),
);

/** Fields without fields of their own. */
function leavesOf(schema: Schema, path: string): (readonly [string, Schema])[] {
  const properties = schema.properties ?? schema.items?.properties;
  if (properties === undefined) return [[path, schema]];
  const prefix = schema.properties === undefined ? `${path}[]` : path;
  return Object.entries(properties).flatMap(([name, child]) => leavesOf(child, `${prefix}.${name}`));
}

describe("fields of our own kinds", () => {
  const manifests = read("docs/manifests.md");
  const own = Object.entries(KINDS).flatMap(([kind, { schema }]) => {
    const { properties = {} } = schemaSchema.parse(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
    return properties.apiVersion?.const === API_VERSION ? [{ kind, properties }] : [];
  });

  it("are four kinds' at least", () => {
    expect(own.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(["AddressPool", "BgpPeer", "FlowRoute", "GatewayParameters"]),
    );
  });

  it.each(own)("$kind: each is described, with its default and limit", ({ kind, properties }) => {
    const section = manifests.split(`\n## ${kind}\n`)[1]?.split("\n## ")[0] ?? "";
    const rows = section.split("\n");
    const leaves = leavesOf(properties.spec ?? {}, "spec").filter(([path]) => !path.includes("matchExpressions[]"));
    const status = Object.keys(properties.status?.properties ?? {}).map((name) => `status.${name}`);
    expect(leaves.length).toBeGreaterThan(3);
    const rowOf = (path: string) => rows.find((line) => line.includes(`\`${path}\``));
    expect(status.filter((path) => rowOf(path) === undefined)).toEqual([]);
    const missing = leaves.flatMap(([path, schema]) => {
      const row = rowOf(path);
      if (row === undefined) return [path];
      const value = schema.default;
      const isPlain = typeof value === "boolean" || typeof value === "number" || (typeof value === "string" && value);
      const limits = [schema.maximum, schema.maxItems].filter((limit) => limit !== undefined && limit > 3);
      return [
        ...(isPlain && !row.includes(`\`${value}\``) ? [`${path}: default ${value}`] : []),
        ...limits.filter((limit) => limit !== 65_535 && !row.includes(String(limit))).map((l) => `${path}: limit ${l}`),
      ];
    });
    expect(missing).toEqual([]);
  });
});

it("every name in our group is described: versions, annotations, conditions, types", () => {
  const sources = globSync("{shared,controller,frontend,proxy,node,discovery,topics}/**/*.ts", { cwd: ROOT });
  const own = sources
    .filter((path) => !/\.(test|fixture)\.ts$/.test(path))
    .map(read)
    .join("\n");
  const names = [...new Set(own.match(/"causeway\.dev\/[A-Za-z0-9-]+"/g))].map((quoted) => quoted.slice(1, -1));
  const manifests = read("docs/manifests.md");
  expect(names).toEqual(expect.arrayContaining(["causeway.dev/lookup-table-size", "causeway.dev/Superseded"]));
  expect(names.filter((name) => !manifests.includes(name))).toEqual([]);
});

it("every metric is described, and no other", () => {
  const sources = globSync("{controller,frontend,proxy,node,discovery,topics}/metrics.ts", { cwd: ROOT });
  const namesIn = (text: string): string[] => [...new Set(text.match(/causeway_[a-z_]+/g))].sort();
  const exported = namesIn(sources.map(read).join("\n"));
  expect(sources.length).toBeGreaterThanOrEqual(2);
  expect(exported.length).toBeGreaterThanOrEqual(10);
  expect(namesIn(read("docs/operations.md"))).toEqual(exported);
});

it.each(globSync("docs/decisions/*", { cwd: ROOT }))("%s is one page with the usual parts", (file) => {
  const number = /\/([0-9]{3})-[a-z0-9-]+\.md$/.exec(file)?.[1];
  const lines = read(file).split("\n");
  expect(number).toBeDefined();
  expect(lines[0]).toContain(`# ${number}: `);
  expect(lines).toEqual(expect.arrayContaining(["## Context", "## Choice", "## Rejected"]));
  expect(lines.length).toBeLessThan(80);
});
