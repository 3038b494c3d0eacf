import { describe, expect, it } from "vitest";
import { checkSocketPaths, isAlive, labFolder, processId } from "./lab-folder.ts";

describe("a lab's folder", () => {
  it("follows CAUSEWAY_STATE, then XDG_STATE_HOME", () => {
    expect(labFolder("x", { CAUSEWAY_STATE: "/s", XDG_STATE_HOME: "/t" }).root).toBe("/s/labs/x");
    expect(labFolder("x", { XDG_STATE_HOME: "/t" }).root).toBe("/t/causeway/labs/x");
    expect(labFolder("x", {}).root).toMatch(/\/\.local\/state\/causeway\/labs\/x$/);
  });

  it("refuses names that would lead elsewhere, and /run", () => {
    for (const name of ["", "..", "a/b", "A", "-a", "x".repeat(33)])
      expect(() => labFolder(name, {})).toThrow(/lab name/);
    expect(() => labFolder("x", { CAUSEWAY_STATE: "/run/user/0" })).toThrow(/CAUSEWAY_STATE/);
  });

  it("counts the bytes of socket paths", () => {
    const folder = labFolder("x", { CAUSEWAY_STATE: `/${"s".repeat(60)}` });
    expect(() => checkSocketPaths(folder, ["a"])).not.toThrow();
    expect(() => checkSocketPaths(folder, ["n".repeat(30)])).toThrow(
      /has 11[0-9] bytes, and Unix sockets allow 107: set CAUSEWAY_STATE/,
    );
  });

  it("tells a process from a later one with its pid", () => {
    const self = processId(process.pid);
    expect(isAlive(self)).toBe(true);
    expect(isAlive({ ...self, startTicks: "1" })).toBe(false);
  });
});
