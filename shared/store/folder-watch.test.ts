import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { expect, test, vi } from "vitest";
import { FolderWatch } from "./folder-watch.ts";

test("a folder that is removed and made anew at once is watched again", async () => {
  const root = mkdtempSync(join(tmpdir(), "cw-watch-"));
  const files = new Set<string>();
  const watch = new FolderWatch({
    root,
    accepts: () => true,
    onFile: (path) => {
      files.add(path);
      return true;
    },
    onGone: (path) => files.delete(path),
    onBatch: () => undefined,
    settleMs: 5,
    // Events alone must find what changes.
    rescanMs: 600_000,
    tidies: false,
    log: pino({ level: "silent" }),
  });
  try {
    const folder = join(root, "sub");
    mkdirSync(folder);
    writeFileSync(join(folder, "old"), "1");
    watch.start();
    expect(files).toEqual(new Set(["sub/old"]));
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    await vi.waitFor(() => expect(files).toEqual(new Set()), 5000);
    writeFileSync(join(folder, "new"), "2");
    await vi.waitFor(() => expect(files).toEqual(new Set(["sub/new"])), 5000);
  } finally {
    watch.close();
    rmSync(root, { recursive: true });
  }
});
