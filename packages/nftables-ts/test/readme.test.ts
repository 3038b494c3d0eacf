import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ip } from "./sandbox.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map((found) => found[1] ?? "");

beforeAll(() => ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1"));
afterAll(() => ip("link", "del", "eth0"));

it("has examples that run, one after the other", () => {
  expect(examples).toHaveLength(4);
  const [first = "", typed = "", read = "", promises = ""] = examples;
  expect(run(first)).toBe("");
  const listed = run(`${typed}\n${read}`);
  expect(listed).toMatch(/^lut 2$/m);
  expect(listed).toMatch(/^in \d+ \[ \{ vmap:/m);
  expect(listed).toMatch(/^web \d+ \[/m);
  expect(run(promises)).toBe("");
  expect(run(`${promises.replace("lb", "absent")}\nconsole.log(await nft.run("list tables netdev"))`)).toContain(
    "table netdev lb",
  );
});

function run(example: string): string {
  const entry = JSON.stringify(new URL("../src/index.ts", import.meta.url).href);
  const script = example.replaceAll('"nftables-ts"', entry);
  const args = ["--input-type=module-typescript", "--eval", script];
  return execFileSync(process.execPath, args, { encoding: "utf8" });
}
