/*
 * `npm test`: types, lint, unit tests, then the system tests in a private sandbox. The last line is the count of the
 * test runner's own reports, which `.ci/run` prints again.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const root = join(import.meta.dirname, "..");
const cache = join(root, "node_modules/.cache/causeway");
const summaryFile = join(cache, "summary.txt");

const reportSchema = z.looseObject({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  numTodoTests: z.int(),
  numFailedTestSuites: z.int(),
});

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

function run(title: string, command: string, ...args: string[]): boolean {
  const began = performance.now();
  console.log(`\n== ${title}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`cannot run ${command}: ${error.message}`);
  console.log(`== ${title}: ${status === 0 ? "ok" : "FAILED"}, ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return status === 0;
}

/** Counts of a report; a missing report counts as one failure: the runner did not get as far as writing it. */
function countOf(file: string, ok: boolean): Count {
  try {
    const report = reportSchema.parse(JSON.parse(readFileSync(file, "utf8")));
    // A file that cannot be loaded is a failed suite without a failed test.
    const failed = report.numFailedTests > 0 || ok ? report.numFailedTests : Math.max(1, report.numFailedTestSuites);
    return { passed: report.numPassedTests, failed, skipped: report.numPendingTests + report.numTodoTests };
  } catch (error) {
    console.error(`no test report in ${file}: ${String(error)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

function test(project: "unit" | "system"): Count {
  const file = join(cache, `${project}.json`);
  const vitest = [join(root, "node_modules/vitest/vitest.mjs"), "run", "--project", project];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...process.argv.slice(2)];
  const command = [process.execPath, ...vitest, ...reporters];
  const ok =
    project === "unit"
      ? run("unit tests", process.execPath, ...vitest, ...reporters)
      : run("system tests, in a private sandbox", "sh", join(root, "scripts/sandbox.sh"), ...command);
  return countOf(file, ok);
}

rmSync(cache, { recursive: true, force: true });
mkdirSync(cache, { recursive: true });
const bin = (name: string): string => join(root, "node_modules/.bin", name);
const checks = [
  run("types", bin("tsc"), "--noEmit"),
  run("lint", bin("biome"), "check", "--error-on-warnings", "."),
  run("unused code", bin("knip")),
];
const counts = [test("unit"), test("system")];
const sum = (key: keyof Count): number => counts.reduce((total, count) => total + count[key], 0);
const failed = sum("failed") + checks.filter((ok) => !ok).length;
const summary = `${sum("passed")} passed, ${failed} failed, ${sum("skipped")} skipped`;
writeFileSync(summaryFile, `${summary}\n`);
console.log(`\n${summary}`);
process.exitCode = failed === 0 ? 0 : 1;
