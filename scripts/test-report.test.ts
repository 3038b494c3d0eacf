import { expect, it } from "vitest";
import { afterAnotherRun, parseTestReport } from "./test-report.ts";

const passed = (fullName: string) => ({ fullName, status: "passed", failureMessages: [] });

it("counts what passed, failed and was skipped in each file", () => {
  const text = JSON.stringify({
    numPassedTests: 1,
    testResults: [
      {
        name: "/a.test.ts",
        status: "failed",
        message: "",
        assertionResults: [
          passed("one"),
          { fullName: "two", status: "failed", failureMessages: ["Error: no route\n    at a.test.ts:3"] },
          { fullName: "three", status: "pending" },
          { fullName: "four", status: "todo", failureMessages: null },
        ],
      },
    ],
  });
  expect(parseTestReport(text)).toEqual([
    { file: "/a.test.ts", passed: 1, skipped: 2, failures: [{ test: "two", why: "Error: no route" }] },
  ]);
});

it("counts a file that cannot be loaded, or whose hook fails, as a failure", () => {
  const text = JSON.stringify({
    testResults: [
      { name: "/b.test.ts", status: "failed", message: "cannot find x\n", assertionResults: [passed("one")] },
    ],
  });
  expect(parseTestReport(text)).toEqual([
    { file: "/b.test.ts", passed: 1, skipped: 0, failures: [{ test: "the file", why: "cannot find x" }] },
  ]);
});

it("refuses what is no report", () => {
  expect(() => parseTestReport("{}")).toThrow(/testResults/);
  expect(() => parseTestReport("")).toThrow(SyntaxError);
});

it("takes the later result of a file that was run again", () => {
  const result = (file: string, why?: string) => ({
    file,
    passed: 1,
    skipped: 0,
    failures: why === undefined ? [] : [{ test: "one", why }],
  });
  const again = { files: [result("/a")], ok: true };
  expect(afterAnotherRun([{ files: [result("/a", "slow"), result("/b")], ok: false }], again)).toEqual([
    { files: [result("/a"), result("/b")], ok: true },
    { files: [], ok: true },
  ]);
  // The runner of /c ended badly, and no test tells why: /a's second run is no excuse.
  const bad = { files: [result("/c")], ok: false };
  expect(afterAnotherRun([{ files: [result("/a", "slow")], ok: false }, bad], again)).toContainEqual(bad);
});
