import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ProgrammedUnreadableError, readProgrammed, watchProgrammed, writeProgrammed } from "./programmed.ts";

let runDir = "";
beforeEach(async () => {
  runDir = await mkdtemp(join(tmpdir(), "cw-programmed-"));
});
afterEach(() => rm(runDir, { recursive: true }));

const vip = (address: string, ready = true) => ({
  address,
  ready,
  services: [{ name: "default/web", port: 80, protocol: "TCP" as const, readyTargets: 4 }],
});

describe("programmed.json", () => {
  it("is read back as it was written, and leaves no temporary file", async () => {
    await writeProgrammed(runDir, { generation: 3, vips: [vip("198.51.100.10"), vip("2001:db8::a", false)] });
    expect(await readProgrammed(runDir)).toEqual({
      generation: 3,
      state: "serving",
      vips: [vip("198.51.100.10"), vip("2001:db8::a", false)],
    });
    expect(await readdir(runDir)).toEqual(["programmed.json"]);
  });

  it("is undefined while absent", async () => {
    expect(await readProgrammed(runDir)).toBeUndefined();
  });

  it.each([
    ["half a file", '{"generation": 1, "vi', /JSON/],
    [
      "a bad address",
      '{"generation": 1, "vips": [{"address": "300.1.1.1", "ready": true, "services": []}]}',
      /vips\.0\.address/,
    ],
    ["a missing field", '{"generation": 1, "vips": [{"address": "192.0.2.1", "services": []}]}', /vips\.0\.ready/],
    [
      "an address twice",
      '{"generation": 1, "vips": [{"address": "192.0.2.1", "ready": true, "services": []}, {"address": "192.0.2.1", "ready": false, "services": []}]}',
      /192\.0\.2\.1 is listed twice/,
    ],
  ])("is refused with its file and field: %s", async (_name, text, message) => {
    await writeFile(join(runDir, "programmed.json"), text);
    await expect(readProgrammed(runDir)).rejects.toThrow(ProgrammedUnreadableError);
    await expect(readProgrammed(runDir)).rejects.toThrow(message);
  });

  it("wakes a watcher when it is replaced", async () => {
    const stop = new AbortController();
    const changed = new Promise<void>((resolve, reject) => watchProgrammed(runDir, resolve, reject, stop.signal));
    await writeProgrammed(runDir, { generation: 1, vips: [] });
    await changed;
    stop.abort();
  });
});
