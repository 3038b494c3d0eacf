import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { BoundedLog } from "./bounded-log.ts";

const folder = mkdtempSync(join(tmpdir(), "cw-log-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("keeps the newest lines and never more than twice its limit", () => {
  const path = join(folder, "x.log");
  const log = new BoundedLog(path, 1000);
  for (let line = 0; line < 500; line += 1) log.write(`line ${line}\n`);
  log.close();
  const kept = readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8");
  expect(statSync(path).size).toBeLessThanOrEqual(1000);
  expect(statSync(`${path}.1`).size).toBeLessThanOrEqual(1000);
  expect(kept.endsWith("line 498\nline 499\n")).toBe(true);
});

it("goes on where an earlier one stopped", () => {
  const path = join(folder, "y.log");
  for (const word of ["one", "two"]) {
    const log = new BoundedLog(path);
    log.write(`${word}\n`);
    log.close();
  }
  expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
});
